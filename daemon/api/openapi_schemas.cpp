// The component schemas, as JSON: what a reader of /openapi.json gets to see. A test compares them with what schema.h
// really writes.
#include "api/openapi.h"

namespace chaos {
namespace {

constexpr std::string_view kRequests = R"json({
  "ScenarioRequest": {
    "type": "object",
    "additionalProperties": false,
    "required": ["kind", "target"],
    "properties": {
      "kind": {"type": "string", "minLength": 1, "maxLength": 64, "description": "one of GET /api/chaos/kinds"},
      "target": {
        "type": "object",
        "minProperties": 1,
        "description": "exactly one primary target, narrowed by filters; a list means any of these",
        "additionalProperties": {"anyOf": [
          {"type": ["string", "number"]},
          {"type": "array", "minItems": 1, "maxItems": 256, "items": {"type": ["string", "number"]}}
        ]}
      },
      "parameters": {
        "type": "object",
        "description": "as the kind defines them, with units: \"10%\", \"50ms\", \"64MiB\"",
        "additionalProperties": {"type": ["string", "number"], "maxLength": 4096}
      },
      "severity": {"type": "integer", "minimum": 1, "maximum": 5,
                   "description": "fills parameters that are not given"},
      "duration": {"type": ["string", "number"], "exclusiveMinimum": 0, "maximum": 1000000000,
                   "description": "\"30s\", \"5m\", or seconds"},
      "seed": {"type": "string", "pattern": "^[0-9]+$", "description": "unsigned 64 bit, decimal"},
      "reason": {"type": "string", "maxLength": 1024, "description": "why it is asked for"},
      "mode": {"type": "string", "enum": ["armed", "shadow"], "default": "armed",
               "description": "shadow: decide and count, do not act"},
      "validate": {"type": "boolean", "default": false, "description": "validate recovery after the end"},
      "confirm_default_route": {"type": "boolean", "default": false,
                                "description": "allow the interface that the host's default route uses"}
    }
  },
  "StopRequest": {
    "type": "object",
    "additionalProperties": false,
    "properties": {
      "drop_in_flight": {"type": "boolean", "description": "drop the packets that it holds back; else they are let go"}
    }
  },
  "EmergencyStopRequest": {
    "type": "object",
    "properties": {"reason": {"type": "string", "maxLength": 1024}}
  },
  "LogLevel": {
    "type": "object",
    "additionalProperties": false,
    "required": ["level"],
    "properties": {"level": {"type": "string", "enum": ["trace", "debug", "info", "warn", "error", "critical"]}}
  }
})json";

constexpr std::string_view kReports = R"json({
  "Problem": {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
      "type": {"type": "string", "examples": ["urn:chaosd:problem:invalid"]},
      "title": {"type": "string"},
      "status": {"type": "integer"},
      "detail": {"type": "string"},
      "field": {"type": "string", "description": "the input at fault", "examples": ["parameters.probability"]},
      "rule": {"type": "string", "description": "what it broke"},
      "hint": {"type": "string", "description": "what to do about it"},
      "request_id": {"type": "string"}
    }
  },
  "Health": {
    "type": "object",
    "required": ["status", "version", "armed", "latched", "active"],
    "properties": {
      "status": {"type": "string"},
      "version": {"type": "string"},
      "instance": {"type": "string"},
      "pid": {"type": "integer"},
      "armed": {"type": "boolean"},
      "latched": {"type": "boolean"},
      "latch_reason": {"type": "string"},
      "active": {"type": "integer"},
      "queued": {"type": "integer", "description": "scenarios that wait for their turn"},
      "active_ids": {"type": "array", "items": {"type": "string"}, "description": "oldest first"},
      "webhooks": {
        "type": "object",
        "description": "announcements to webhooks since the start; absent if none is configured",
        "required": ["delivered", "failed", "dropped", "pending"],
        "properties": {
          "delivered": {"type": "integer"},
          "failed": {"type": "integer", "description": "given up after the last try"},
          "dropped": {"type": "integer", "description": "pushed out of a full queue, or the webhook was removed"},
          "pending": {"type": "integer", "description": "now"}
        }
      },
      "lease_margin_ms": {"type": "integer"},
      "lease_realtime": {"type": "boolean", "description": "the lease thread has real-time priority"},
      "audit_writable": {"type": "boolean", "description": "false: nothing new may start"},
      "guardian_pid": {"type": ["integer", "null"], "description": "null while none is ready: journaled starts are refused"},
      "journaled_changes": {"type": "integer", "description": "changes that the guardian would undo"},
      "uptime_seconds": {"type": "number"}
    }
  },
  "EmergencyStopReport": {
    "type": "object",
    "required": ["stopped", "latched"],
    "properties": {
      "stopped": {"type": "array", "items": {"type": "string"}, "description": "ids that it ended"},
      "latched": {"type": "boolean", "const": true},
      "warnings": {"type": "array", "items": {"type": "string"}}
    }
  },
  "Latch": {"type": "object", "required": ["latched"], "properties": {"latched": {"type": "boolean"}}},
  "KindList": {
    "type": "object",
    "required": ["kinds", "common_parameters"],
    "properties": {
      "kinds": {"type": "array", "items": {"$ref": "#/components/schemas/Kind"}},
      "common_parameters": {"type": "array", "items": {"$ref": "#/components/schemas/Parameter"}}
    }
  },
  "Kind": {
    "type": "object",
    "required": ["name", "help", "ownership", "parameters", "targets", "features"],
    "properties": {
      "name": {"type": "string"},
      "help": {"type": "string"},
      "ownership": {"type": "string"},
      "parameters": {"type": "array", "items": {"$ref": "#/components/schemas/Parameter"}},
      "targets": {"type": "array", "items": {"type": "string"}, "description": "target keys that it takes"},
      "features": {"type": "array", "items": {"type": "string"}, "description": "names in GET /api/chaos/features"},
      "policy": {
        "type": "object",
        "description": "what the configuration says about it",
        "properties": {
          "enabled": {"type": "boolean"},
          "severity_levels": {"type": "array", "items": {"type": "integer"}, "description": "those that are accepted"},
          "blast_radius_limit": {"type": "string"},
          "bounds": {"type": "object", "description": "by parameter: min, max"}
        }
      }
    }
  },
  "Parameter": {
    "type": "object",
    "required": ["name", "type", "help"],
    "properties": {
      "name": {"type": "string"},
      "type": {"type": "string"},
      "help": {"type": "string"},
      "minimum": {"type": "string"},
      "maximum": {"type": "string"},
      "default": {"type": "string"},
      "choices": {"type": "array", "items": {"type": "string"}},
      "when": {"$ref": "#/components/schemas/Condition", "description": "taken only while this holds"},
      "or_when": {"$ref": "#/components/schemas/Condition", "description": "or this"},
      "required": {"type": "boolean", "description": "refused without it; the first parameter of a kind always is"},
      "required_when": {"$ref": "#/components/schemas/Condition", "description": "only while this holds"},
      "preset_when": {"$ref": "#/components/schemas/Condition", "description": "a severity fills it only while this holds"},
      "severity": {"$ref": "#/components/schemas/Texts", "description": "presets for severity \"1\" to \"5\""}
    }
  },
  "Condition": {
    "type": "object",
    "description": "another parameter has one of these values",
    "required": ["parameter", "values"],
    "properties": {
      "parameter": {"type": "string"},
      "values": {"type": "array", "items": {"type": "string"}}
    }
  },
  "FeatureList": {
    "type": "object",
    "required": ["kernel", "features"],
    "properties": {
      "kernel": {"type": "string"},
      "features": {"type": "array", "items": {
        "type": "object",
        "required": ["name", "available"],
        "properties": {
          "name": {"type": "string"},
          "available": {"type": "boolean"},
          "reason": {"type": "string"},
          "used_instead": {"type": "string"}
        }
      }}
    }
  },
  "ResidueReport": {
    "type": "object",
    "required": ["clean", "residue"],
    "properties": {
      "clean": {"type": "boolean"},
      "residue": {"type": "array", "items": {
        "type": "object",
        "required": ["class", "id", "detail"],
        "properties": {"class": {"type": "string"}, "id": {"type": "string"}, "detail": {"type": "string"}}
      }}
    }
  },
  "AuditList": {
    "type": "object",
    "required": ["entries"],
    "properties": {"entries": {"type": "array", "items": {"$ref": "#/components/schemas/AuditEntry"}}}
  },
  "AuditEntry": {
    "type": "object",
    "required": ["seq", "time", "uid", "user", "pid", "action", "status", "request_id"],
    "properties": {
      "seq": {"type": "integer"},
      "time": {"type": "string", "format": "date-time"},
      "request_id": {"type": "string"},
      "uid": {"type": "integer"},
      "user": {"type": "string"},
      "login_uid": {"type": "integer"},
      "pid": {"type": "integer"},
      "comm": {"type": "string"},
      "socket": {"type": "string"},
      "action": {"type": "string", "description": "operation id"},
      "scenario_id": {"type": "string"},
      "status": {"type": "integer", "description": "of the answer; 102: asked for, on record before it is done"},
      "detail": {"type": "string", "description": "what was asked for and, if refused, why"},
      "hash": {"type": "string", "description": "SHA-256 over the entry and the hash before it, hex; see chaosd(8)"}
    }
  },
  "AuditVerification": {
    "type": "object",
    "required": ["ok", "checked", "unchained", "head"],
    "properties": {
      "ok": {"type": "boolean"},
      "checked": {"type": "integer", "description": "entries whose hash is right, up to the first problem"},
      "unchained": {"type": "integer", "description": "entries of an older chaosd, which have no hash"},
      "head": {"type": "string", "description": "hash of the last entry that was checked, hex"},
      "problem": {
        "type": "object",
        "description": "the first one",
        "required": ["seq", "what"],
        "properties": {
          "seq": {"type": "integer"},
          "what": {"type": "string", "enum": ["altered", "removed", "inserted", "out of order", "head does not match"]}
        }
      }
    }
  },
  "ReloadReport": {
    "type": "object",
    "required": ["reloaded"],
    "properties": {
      "reloaded": {"type": "boolean"},
      "warnings": {"type": "array", "items": {"type": "string"}},
      "not_in_effect": {"type": "array", "items": {"type": "string"}},
      "no_longer_fit": {
        "type": "array",
        "description": "scenarios that run and that the new configuration would refuse",
        "items": {
          "type": "object",
          "required": ["id", "message", "action"],
          "properties": {
            "id": {"type": "string"},
            "message": {"type": "string"},
            "rule": {"type": "string"},
            "action": {"type": "string", "enum": ["kept", "ended"]}
          }
        }
      }
    }
  },
  "ServiceList": {
    "type": "object",
    "required": ["services"],
    "properties": {
      "services": {
        "type": "array",
        "items": {
          "type": "object",
          "required": ["name", "place", "running", "pids", "netns", "ports", "weight", "touched_by"],
          "properties": {
            "name": {"type": "string"},
            "place": {"type": "string", "description": "where the configuration says that it runs"},
            "running": {"type": "boolean"},
            "pids": {"type": "array", "items": {"type": "integer"}},
            "cgroup": {"type": "string"},
            "netns": {"type": "array", "items": {"type": "integer"}, "description": "network namespaces, by inode"},
            "ports": {"type": "array", "items": {"type": "integer"}},
            "weight": {"type": "number"},
            "problem": {"type": "string", "description": "why none of its processes was found"},
            "touched_by": {"type": "array", "items": {"type": "string"}, "description": "ids of running scenarios"},
            "health": {
              "type": "object",
              "description": "what its health probe found; not there if it has none",
              "required": ["state"],
              "properties": {
                "state": {"type": "string", "enum": ["unknown", "healthy", "unhealthy"]},
                "reason": {"type": "string", "description": "why it is not healthy"},
                "since": {"type": "string"},
                "checked_at": {"type": "string"},
                "took_ms": {"type": "number"}
              }
            }
          }
        }
      }
    }
  },
  "MetricList": {
    "type": "object",
    "required": ["time", "metrics"],
    "properties": {
      "time": {"type": "string", "description": "of the round of samples that this is"},
      "metrics": {
        "type": "array",
        "items": {
          "type": "object",
          "required": ["name", "type", "unit", "help", "labels", "value", "time"],
          "properties": {
            "name": {"type": "string"},
            "type": {"type": "string", "enum": ["counter", "gauge"]},
            "unit": {"type": "string", "description": "seconds, bytes; empty: a plain number"},
            "help": {"type": "string"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "value": {"type": "number"},
            "time": {"type": "string", "description": "when it was measured; not all is measured each round"}
          }
        }
      }
    }
  },
  "MetricHistory": {
    "type": "object",
    "required": ["metric", "type", "unit", "aggregation", "step_ms", "series"],
    "properties": {
      "metric": {"type": "string"},
      "type": {"type": "string", "enum": ["counter", "gauge"]},
      "unit": {"type": "string"},
      "aggregation": {"type": "string", "enum": ["last", "avg", "min", "max", "rate", "increase"]},
      "step_ms": {
        "type": "integer",
        "description": "0: the samples as they are; not less than store.history_step where the history on disk is needed"
      },
      "problem": {"type": "string", "description": "why some of the history on disk may be missing"},
      "series": {
        "type": "array",
        "items": {
          "type": "object",
          "required": ["labels", "points"],
          "properties": {
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "points": {
              "type": "array",
              "description": "[end of the step in Unix milliseconds, value or null], oldest first",
              "items": {"type": "array", "items": {"type": ["number", "null"]}}
            }
          }
        }
      }
    }
  },
  "OpenApi": {"type": "object", "required": ["openapi", "paths", "components"]}
})json";

nlohmann::json parse_all() {
  nlohmann::json schemas = nlohmann::json::object();
  for (const auto part : {kRequests, scenario_schemas(), kReports, watch_schemas()})
    schemas.update(nlohmann::json::parse(part));
  return schemas;
}

}  // namespace

const nlohmann::json& component_schemas() {
  static const nlohmann::json schemas = parse_all();
  return schemas;
}

}  // namespace chaos
