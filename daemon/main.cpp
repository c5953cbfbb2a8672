// chaosd: command line → configuration → logging → preflight → daemon. Every failure to start is one clear message.
#include <malloc.h>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/instance.h"
#include "base/log.h"
#include "daemon.h"
#include "kernel/features.h"
#include "load/worker.h"
#include "safety/guardian.h"
#include "telemetry/probe_process.h"
#include "version.h"
#include "wait/wait_server.h"

namespace {

using chaos::Error;
using chaos::Options;

void add_options(CLI::App& app, Options& options) {
  app.set_version_flag("--version", std::string(chaos::kVersion));
  app.add_option("--config", options.config, "configuration file")->capture_default_str();
  app.add_option("--socket", options.socket,
                 "Unix socket of the API; the read-only one lies beside it as "
                 "chaosd-view.sock (default: chaosd.sock in the runtime directory)");
  app.add_option("--runtime-dir", options.runtime_dir, "sockets and other things that a reboot may clear")
      ->capture_default_str();
  app.add_option("--state-dir", options.state_dir, "what must survive a reboot: latch, audit, history")
      ->capture_default_str();
  app.add_option("--log-level", options.log_level, "trace, debug, info, warn, error, critical, off")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "critical", "off"}));
  app.add_option("--instance", options.instance, "name that marks all objects of this chaosd")
      ->capture_default_str()
      ->check([](const std::string& name) {
        return chaos::is_instance_name(name) ? std::string{} : "1 to 32 of letters, digits, - and _";
      });
}

int report(const Error& error) {
  std::fprintf(stderr, "chaosd: %s\n", error.message.c_str());
  if (!error.hint.empty()) std::fprintf(stderr, "chaosd: hint: %s\n", error.hint.c_str());
  sd_notifyf(0, "STATUS=failed: %s", error.message.c_str());
  return 1;
}

/// A missing default file means the built-in defaults; one that was asked for must be there.
chaos::Result<chaos::ConfigReport> load(const Options& options) {
  auto report = chaos::load_config(options.config);
  if (!report && report.error().code == chaos::Errc::kNotFound && !options.config_given) return chaos::ConfigReport{};
  return report;
}

int run(const Options& options) {
  auto config = load(options);
  if (!config) return report(config.error());
  if (chaos::Status logging = chaos::set_up_logging(chaos::log_options(config->config, options)); !logging) {
    return report(logging.error());
  }
  for (const std::string& warning : config->warnings) spdlog::warn("{}", warning);
  if (!config->not_in_effect.empty()) {
    spdlog::warn("{} keys of {} are not in effect yet; `chaosctl config check` lists them",
                 config->not_in_effect.size(), options.config.string());
  }
  const auto problems = chaos::preflight_problems();
  for (const std::string& problem : problems) spdlog::critical("{}", problem);
  if (!problems.empty()) return report({chaos::Errc::kUnsupported, "cannot run here: " + problems.front()});

  auto daemon = chaos::Daemon::create(options, std::move(*config));
  if (!daemon) return report(daemon.error());
  auto code = (*daemon)->run();
  if (!code) return report(code.error());
  return *code;
}

}  // namespace

int main(int argc, char** argv) {
  // Ten threads that allocate little need no pools of memory of their own (1 MiB and more each).
  ::mallopt(M_ARENA_MAX, 1);
  if (argc > 1 && std::string_view(argv[1]) == chaos::kGuardianVerb) return chaos::run_guardian(argc, argv);
  if (argc > 1 && std::string_view(argv[1]) == chaos::kLoadWorkerVerb) return chaos::run_load_worker(argc, argv);
  if (argc > 1 && std::string_view(argv[1]) == chaos::kProbeVerb) return chaos::run_probe_process(argc, argv);
  if (argc > 1 && std::string_view(argv[1]) == chaos::kWaitServerVerb) return chaos::run_wait_server(argc, argv);
  Options options;
  CLI::App app{"chaosd: host-level fault injection and telemetry daemon. Stays in the foreground."};
  add_options(app, options);
  CLI11_PARSE(app, argc, argv);
  options.config_given = app.get_option("--config")->count() > 0;
  return run(options);
}
