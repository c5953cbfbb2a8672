// Router: one table of routes, and the checks that come before a handler: role, path, method, query names. Every
// mutating call and every refusal goes to the audit callback with its outcome. Loop thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/http.h"
#include "api/idempotency.h"
#include "base/clock.h"
#include "store/audit.h"

namespace chaos {

/// Gets one line of the audit log; `seq` is not set. `action` is the operation id of the route ("start_scenario"), or
/// "METHOD path" where there is none; `detail` what was asked for and, if refused, why.
using AuditSink = std::function<void(AuditEntry)>;
inline constexpr std::size_t kMaxAuditDetail = 4096;
/// Who asks, from where, for what: an entry without time, status and detail.
[[nodiscard]] AuditEntry origin_of(const HttpRequest& request, std::string action);

struct QueryParam {
  std::string_view name;
  std::string_view type;  ///< of JSON schema: boolean, integer, string
  std::string_view help;
};

struct Route {
  std::string_view method{};   ///< GET or POST
  std::string_view pattern{};  ///< "/api/chaos/scenarios/{id}"
  Role role = Role::kOperate;
  std::string_view operation{};  ///< snake_case, unique
  std::string_view summary{};
  std::vector<QueryParam> query{};
  std::string_view request_schema{};                     ///< component name; empty: no body
  std::string_view response_schema{};                    ///< component name; empty: not JSON
  std::string_view response_type = "text/event-stream";  ///< where it is not JSON
  int status = 200;                                      ///< of success
  bool audited = false;
  bool idempotency_key = false;  ///< an Idempotency-Key is honoured
  Handler handler{};
};

class Router {
 public:
  /// `idempotency` and `clock` must outlive this.
  Router(std::vector<Route> routes, IdempotencyTable& idempotency, AuditSink audit, const Clock& clock);
  void dispatch(HttpRequest request, Respond respond);
  [[nodiscard]] const std::vector<Route>& routes() const { return routes_; }

 private:
  struct Match;
  struct Auditor;
  [[nodiscard]] Match match(const HttpRequest& request) const;
  void call(const Route& route, const HttpRequest& request, Respond respond);

  std::vector<Route> routes_;
  IdempotencyTable& idempotency_;
  std::shared_ptr<Auditor> auditor_;  ///< answers under way may outlive the router: they hold it weakly
};

}  // namespace chaos
