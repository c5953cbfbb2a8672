// The component schemas of a scenario and its parts, as JSON.
#include "api/openapi.h"

namespace chaos {
namespace {

constexpr std::string_view kScenario = R"json({
  "Scenario": {
    "type": "object",
    "required": ["kind", "target", "parameters", "mode", "validate", "confirm_default_route", "state", "owner",
                 "plan", "created_at", "achieved", "counters", "warnings"],
    "properties": {
      "id": {"type": "string", "description": "ULID; absent in a plan"},
      "kind": {"type": "string"},
      "target": {"$ref": "#/components/schemas/Target"},
      "parameters": {"$ref": "#/components/schemas/Texts", "description": "as asked; the effective ones are in plan"},
      "severity": {"type": "integer", "minimum": 1, "maximum": 5},
      "duration": {"type": "string", "description": "canonical: \"30s\", \"5m\", \"1500ms\""},
      "seed": {"type": "string", "pattern": "^[0-9]+$"},
      "reason": {"type": "string"},
      "mode": {"type": "string", "enum": ["armed", "shadow"]},
      "validate": {"type": "boolean"},
      "confirm_default_route": {"type": "boolean"},
      "state": {"type": "string",
                "enum": ["queued", "active", "stopping", "recovering", "completed", "failed", "aborted"]},
      "end_reason": {"type": "string", "enum": ["expired", "stopped", "emergency_stop", "stop_condition", "limit",
                                                "lapsed", "target_gone", "error"]},
      "owner": {"$ref": "#/components/schemas/Owner"},
      "plan": {"$ref": "#/components/schemas/Plan"},
      "created_at": {"type": "string", "format": "date-time"},
      "started_at": {"type": "string", "format": "date-time"},
      "ends_at": {"type": "string", "format": "date-time"},
      "ended_at": {"type": "string", "format": "date-time"},
      "queue_position": {"type": "integer", "minimum": 1, "description": "while queued; 1 is next"},
      "expected_start_at": {"type": "string", "format": "date-time", "description": "while queued, at the latest"},
      "achieved": {"$ref": "#/components/schemas/Texts", "description": "asked for beside measured"},
      "counters": {"$ref": "#/components/schemas/Counters"},
      "warnings": {"type": "array", "items": {"type": "string"}},
      "error": {"type": "string", "description": "what ended it, if an error did"}
    }
  },
  "Target": {
    "type": "object",
    "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
  },
  "Texts": {"type": "object", "additionalProperties": {"type": "string"}},
  "Owner": {
    "type": "object",
    "required": ["uid", "user"],
    "properties": {
      "uid": {"type": "integer"},
      "user": {"type": "string"},
      "login_uid": {"type": "integer", "description": "who logged in, also behind sudo"},
      "comm": {"type": "string"}
    }
  },
  "Plan": {
    "type": "object",
    "required": ["ownership", "mechanism", "interfaces", "cgroups", "processes", "peers", "parameters", "notes",
                 "touches", "blast_radius"],
    "properties": {
      "ownership": {"type": "string", "description": "who undoes it when chaosd dies"},
      "mechanism": {"type": "string"},
      "interfaces": {"type": "array", "items": {"type": "string"}},
      "cgroups": {
        "type": "array",
        "items": {"type": "string"},
        "description": "whose sockets alone are meant, by path; empty: all sockets, or those of processes"
      },
      "processes": {
        "type": "array",
        "items": {"type": "string"},
        "description": "whose sockets alone are meant, at the time of planning; empty: all sockets"
      },
      "peers": {"type": "array", "items": {"type": "string"}, "description": "resolved prefixes"},
      "parameters": {"$ref": "#/components/schemas/Texts", "description": "effective values, canonical"},
      "touches": {"type": "array", "items": {"type": "string"}, "description": "what the blast radius counts"},
      "blast_radius": {"type": "string", "description": "its share by itself, 0 to 1"},
      "notes": {"type": "array", "items": {"type": "string"}}
    }
  },
  "Counters": {
    "type": "object",
    "description": "evaluated = unmatched + matched; matched = injected + not_sampled + spared_protected + spared_budget + spared_expired + over_limit; in shadow mode shadowed takes the place of injected",
    "required": ["evaluated", "unmatched", "matched", "injected", "not_sampled", "spared_protected", "spared_budget",
                 "spared_expired", "over_limit", "shadowed", "matched_segments", "injected_segments",
                 "injected_jointly"],
    "properties": {
      "evaluated": {"type": "integer"},
      "unmatched": {"type": "integer"},
      "matched": {"type": "integer"},
      "injected": {"type": "integer"},
      "not_sampled": {"type": "integer"},
      "spared_protected": {"type": "integer"},
      "spared_budget": {"type": "integer"},
      "spared_expired": {"type": "integer"},
      "over_limit": {"type": "integer"},
      "shadowed": {"type": "integer", "description": "in place of injected: would have been injected; 0 unless mode is shadow"},
      "matched_segments": {"type": "integer", "description": "wire packets in the skbs matched"},
      "injected_segments": {"type": "integer"},
      "injected_jointly": {"type": "integer", "description": "of injected, those that another scenario took as well"}
    }
  },
  "ScenarioList": {
    "type": "object",
    "required": ["scenarios"],
    "properties": {"scenarios": {"type": "array", "items": {"$ref": "#/components/schemas/Scenario"}}}
  },
  "PlanReport": {
    "type": "object",
    "required": ["admitted", "scenario"],
    "properties": {
      "admitted": {"type": "boolean"},
      "refusal": {"$ref": "#/components/schemas/Problem"},
      "scenario": {"$ref": "#/components/schemas/Scenario"}
    }
  }
})json";

}  // namespace

std::string_view scenario_schemas() { return kScenario; }

}  // namespace chaos
