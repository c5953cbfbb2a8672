// The component schemas of eBPF telemetry.
#include "api/openapi.h"

namespace chaos {
namespace {

constexpr std::string_view kWatches = R"json({
  "Drops": {
    "type": "object",
    "required": ["scope", "since", "until", "seconds", "total", "natural", "injected", "delay_line", "reasons",
                 "oom_kills", "missed", "notes"],
    "properties": {
      "scope": {"type": "string", "description": "\"host\", or what the target is"},
      "since": {"type": "string", "format": "date-time"},
      "until": {"type": "string", "format": "date-time"},
      "seconds": {"type": "number"},
      "total": {"type": "integer", "description": "packets (skbs) of this scope: natural + injected + delay_line"},
      "natural": {"type": "integer"},
      "injected": {"type": "integer", "description": "that faults of this chaosd took: their injected, jointly ones once"},
      "delay_line": {"type": "integer", "description": "at devices of this chaosd: its queue was full (over_limit)"},
      "reasons": {
        "type": "array",
        "description": "most first",
        "items": {
          "type": "object",
          "required": ["reason", "origin", "count"],
          "properties": {
            "reason": {"type": "string", "description": "of the kernel's enum skb_drop_reason"},
            "origin": {"type": "string", "enum": ["natural", "injected", "delay_line"]},
            "count": {"type": "integer"}
          }
        }
      },
      "without_socket": {
        "type": "object",
        "description": "with a target only: packets of which no socket is known: anybody's",
        "required": ["natural", "injected", "delay_line"],
        "properties": {
          "natural": {"type": "integer"},
          "injected": {"type": "integer"},
          "delay_line": {"type": "integer"}
        }
      },
      "oom_kills": {"type": "integer", "description": "processes killed for want of memory"},
      "missed": {"type": "integer", "description": "events that the kernel did not tell"},
      "notes": {"type": "array", "items": {"type": "string"}, "description": "what this kernel cannot tell"}
    }
  },
  "Syscalls": {
    "type": "object",
    "required": ["scope", "since", "until", "seconds", "calls", "errors", "syscalls", "missed", "notes"],
    "properties": {
      "scope": {"type": "string", "description": "what the target is"},
      "since": {"type": "string", "format": "date-time"},
      "until": {"type": "string", "format": "date-time"},
      "seconds": {"type": "number"},
      "calls": {"type": "integer", "description": "that have returned"},
      "errors": {"$ref": "#/components/schemas/ErrorCounts"},
      "syscalls": {
        "type": "array",
        "description": "most calls first",
        "items": {
          "type": "object",
          "required": ["name", "calls", "errors", "errnos", "latency"],
          "properties": {
            "name": {"type": "string", "description": "as strace(1) says it; 32-bit: all of 32-bit programs"},
            "calls": {"type": "integer"},
            "errors": {"$ref": "#/components/schemas/ErrorCounts"},
            "errnos": {
              "type": "array",
              "items": {
                "type": "object",
                "required": ["errno", "natural", "injected"],
                "properties": {
                  "errno": {"type": "string"},
                  "natural": {"type": "integer"},
                  "injected": {"type": "integer"}
                }
              }
            },
            "latency": {
              "type": "object",
              "required": ["mean_us", "p50_us", "p90_us", "p99_us", "max_us", "buckets"],
              "properties": {
                "mean_us": {"type": "number"},
                "p50_us": {"type": "number", "description": "the most that its bucket holds, as the next ones"},
                "p90_us": {"type": "number"},
                "p99_us": {"type": "number"},
                "max_us": {"type": "number"},
                "buckets": {
                  "type": "array",
                  "description": "log-linear, eight for each power of two; those that are not empty",
                  "items": {
                    "type": "object",
                    "required": ["le_ns", "count"],
                    "properties": {
                      "le_ns": {"type": "integer", "description": "the most that it holds"},
                      "count": {"type": "integer", "description": "in this bucket alone"}
                    }
                  }
                }
              }
            }
          }
        }
      },
      "missed": {"type": "integer", "description": "events that the kernel did not tell"},
      "notes": {"type": "array", "items": {"type": "string"}, "description": "what this kernel cannot tell"}
    }
  },
  "ErrorCounts": {
    "type": "object",
    "description": "injected: by faults of this chaosd",
    "required": ["natural", "injected"],
    "properties": {"natural": {"type": "integer"}, "injected": {"type": "integer"}}
  },
  "Tcp": {
    "type": "object",
    "required": ["scope", "since", "until", "seconds", "retransmits", "resets", "rtt", "sockets", "missed", "notes"],
    "properties": {
      "scope": {"type": "string", "description": "\"host\", or what the target is"},
      "since": {"type": "string", "format": "date-time"},
      "until": {"type": "string", "format": "date-time"},
      "seconds": {"type": "number"},
      "retransmits": {
        "type": "object",
        "required": ["packets", "segments", "syn", "synack"],
        "properties": {
          "packets": {"type": "integer", "description": "skbs"},
          "segments": {"type": "integer", "description": "in them"},
          "syn": {"type": "integer", "description": "of the packets"},
          "synack": {"type": "integer", "description": "of the packets"}
        }
      },
      "resets": {
        "type": "object",
        "required": ["sent", "received"],
        "properties": {
          "sent": {"type": "integer"},
          "received": {"type": "integer"},
          "sent_without_socket": {"type": "integer", "description": "with a target only: anybody's"}
        }
      },
      "rtt": {
        "type": "object",
        "description": "smoothed round-trip time of the connection, at each of its packets that arrived; null: no samples",
        "required": ["samples", "mean_us", "min_us", "p50_us", "p90_us", "p99_us", "max_us", "buckets"],
        "properties": {
          "samples": {"type": "integer"},
          "mean_us": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
          "min_us": {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "the least that the lowest bucket holds"},
          "p50_us": {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "the most that its bucket holds, as the next ones"},
          "p90_us": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
          "p99_us": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
          "max_us": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
          "buckets": {
            "type": "array",
            "description": "log-linear, eight for each power of two; those that are not empty",
            "items": {
              "type": "object",
              "required": ["le_us", "count"],
              "properties": {
                "le_us": {"type": "integer", "description": "the most that it holds"},
                "count": {"type": "integer", "description": "in this bucket alone"}
              }
            }
          }
        }
      },
      "sockets": {
        "type": "object",
        "description": "at the end, by sock_diag; of the host: in chaosd's network namespace",
        "required": ["count", "states", "rtt_us", "retransmits", "lost", "unacked", "send_queue_bytes",
                     "receive_queue_bytes"],
        "properties": {
          "count": {"type": "integer"},
          "states": {"type": "object", "additionalProperties": {"type": "integer"}},
          "rtt_us": {"anyOf": [
            {
              "type": "object",
              "required": ["min", "p50", "max"],
              "properties": {
                "min": {"type": "integer"},
                "p50": {"type": "integer"},
                "max": {"type": "integer"}
              }
            },
            {"type": "null"}
          ]},
          "retransmits": {"type": "integer", "description": "segments, since the sockets were made"},
          "lost": {"type": "integer", "description": "segments thought lost now"},
          "unacked": {"type": "integer", "description": "segments on their way now"},
          "send_queue_bytes": {"type": "integer"},
          "receive_queue_bytes": {"type": "integer"}
        }
      },
      "missed": {"type": "integer", "description": "events that the kernel did not tell"},
      "notes": {"type": "array", "items": {"type": "string"}, "description": "what this kernel cannot tell"}
    }
  }
})json";

}  // namespace

std::string_view watch_schemas() { return kWatches; }

}  // namespace chaos
