// Handlers: what each endpoint does with a request. Internal to routes.cpp, which has the table. Loop thread.
#pragma once

#include "api/events.h"
#include "api/http.h"
#include "api/routes.h"

namespace chaos {

class Handlers {
 public:
  /// Both must outlive this.
  Handlers(const Backend& backend, EventHub& events) : backend_(backend), events_(events) {}

  void health(const HttpRequest& request, Respond respond) const;
  void list(const HttpRequest& request, Respond respond) const;
  void find(const HttpRequest& request, Respond respond) const;
  void start(const HttpRequest& request, Respond respond) const;
  void plan(const HttpRequest& request, Respond respond) const;
  void stop(const HttpRequest& request, Respond respond) const;
  void emergency_stop(const HttpRequest& request, Respond respond) const;
  void rearm(const HttpRequest& request, Respond respond) const;
  void kinds(const HttpRequest& request, Respond respond) const;
  void features(const HttpRequest& request, Respond respond) const;
  void metrics(const HttpRequest& request, Respond respond) const;
  void metric_history(const HttpRequest& request, Respond respond) const;
  void exposition(const HttpRequest& request, Respond respond) const;
  void watch_drops(const HttpRequest& request, Respond respond) const;
  void watch_tcp(const HttpRequest& request, Respond respond) const;
  void watch_syscalls(const HttpRequest& request, Respond respond) const;
  void services(const HttpRequest& request, Respond respond) const;
  void residue(const HttpRequest& request, Respond respond) const;
  void follow(const HttpRequest& request, Respond respond) const;
  void audit(const HttpRequest& request, Respond respond) const;
  void verify_audit(const HttpRequest& request, Respond respond) const;
  void log_level(const HttpRequest& request, Respond respond) const;
  void set_log_level(const HttpRequest& request, Respond respond) const;
  void reload(const HttpRequest& request, Respond respond) const;

 private:
  void watch(WatchKind kind, const HttpRequest& request, Respond respond) const;

  const Backend& backend_;
  EventHub& events_;
};

}  // namespace chaos
