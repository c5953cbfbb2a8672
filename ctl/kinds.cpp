#include "ctl/kinds.h"

#include <algorithm>

#include "ctl/json_text.h"

namespace chaos::ctl {
namespace {

struct KindsOptions {
  std::string kind;
};

void kinds_options(CLI::App& app, KindsOptions& options) {
  app.add_option("KIND", options.kind, "Show this kind with all its parameters");
}

std::string range_text(const Json& parameter) {
  const Json& choices = list_at(parameter, "choices");
  if (!choices.empty()) {
    std::string text;
    for (const Json& choice : choices) text += (text.empty() ? "" : " | ") + text_of(choice);
    return text;
  }
  const std::string minimum = text_of(parameter, "minimum");
  const std::string maximum = text_of(parameter, "maximum");
  if (minimum.empty() && maximum.empty()) return {};
  return minimum + " .. " + maximum;
}

std::string severity_text(const Json& parameter) {
  const Json& presets = member(parameter, "severity");
  if (!presets.is_object()) return {};
  std::string text;
  for (const auto& [level, value] : presets.items()) text += (text.empty() ? "" : " ") + level + ":" + text_of(value);
  return text;
}

/// What the parameter means, behind "with model=every_nth: " where it is taken under a condition only.
std::string meaning_of(const Json& parameter) {
  std::string conditions;
  for (const char* key : {"when", "or_when"}) {
    const Json& when = member(parameter, key);
    if (!when.is_object()) continue;
    std::string values;
    for (const Json& value : list_at(when, "values")) values += (values.empty() ? "" : "|") + text_of(value);
    conditions += (conditions.empty() ? "with " : " or ") + text_of(when, "parameter") + "=" + values;
  }
  return (conditions.empty() ? "" : conditions + ": ") + text_of(parameter, "help");
}

void print_parameters(const Context& context, const Json& kind, const Json& common) {
  Table table({"PARAMETER", "TYPE", "RANGE", "DEFAULT", "SEVERITY", "MEANING"});
  const auto add = [&](const Json& parameter) {
    table.add({{text_of(parameter, "name")},
               {text_of(parameter, "type")},
               {range_text(parameter)},
               {text_of(parameter, "default")},
               {severity_text(parameter)},
               {meaning_of(parameter)}});
  };
  std::ranges::for_each(list_at(kind, "parameters"), add);
  std::ranges::for_each(common, add);
  context.print(table, "  ");
}

void print_kind(const Context& context, const Json& kind, const Json& common) {
  context.out << context.paint(printable(text_of(kind, "name")), Colour::kBold) << "  "
              << printable(text_of(kind, "help")) << "\n\n";
  Table facts({"", ""});
  facts.add({{"targets"}, {text_of(kind, "targets")}});
  facts.add({{"ownership"}, {text_of(kind, "ownership")}});
  facts.add({{"needs"}, {text_of(kind, "features")}});
  if (const Json& policy = member(kind, "policy"); policy.is_object()) {
    const bool enabled = flag_at(policy, "enabled");
    facts.add({{"enabled"}, {enabled ? "yes" : "no, by the configuration", enabled ? Colour::kNone : Colour::kRed}});
    facts.add({{"severities"}, {text_of(policy, "severity_levels")}});
    facts.add({{"blast radius"}, {"at most " + text_of(policy, "blast_radius_limit")}});
    const Json& bounds = member(policy, "bounds");
    if (bounds.is_object() && !bounds.empty()) facts.add({{"bounds"}, {text_of(bounds)}});
  }
  context.print(facts, "  ");
  context.out << '\n';
  print_parameters(context, kind, common);
}

std::unexpected<Problem> unknown_kind(const Json& kinds, const std::string& name) {
  std::string known;
  for (const Json& kind : list_at(kinds, "kinds")) known += (known.empty() ? "" : ", ") + text_of(kind, "name");
  return problem(Errc::kNotFound, "there is no kind '" + name + "'", "kind", {}, "kinds: " + known);
}

Outcome<Exit> run_kinds(Context& context, const KindsOptions& options) {
  const Outcome<Json> kinds = fetch_kinds(context.client);
  if (!kinds) return std::unexpected(kinds.error());
  if (!options.kind.empty()) {
    const Json* kind = find_kind(*kinds, options.kind);
    if (kind == nullptr) return unknown_kind(*kinds, options.kind);
    if (context.json()) {
      context.print_json(*kind);
    } else {
      print_kind(context, *kind, list_at(*kinds, "common_parameters"));
    }
    return Exit::kDone;
  }
  if (context.json()) {
    context.print_json(*kinds);
    return Exit::kDone;
  }
  Table table({"KIND", "MEANING"});
  for (const Json& kind : list_at(*kinds, "kinds")) {
    table.add({{text_of(kind, "name"), Colour::kBold}, {text_of(kind, "help")}});
  }
  context.print(table);
  context.out << "\n" << printable(context.advice("kinds KIND")) << " shows the parameters and targets of one.\n";
  return Exit::kDone;
}

Outcome<Exit> run_features(Context& context) {
  const Outcome<Json> answer = context.client.get("/api/chaos/features");
  if (!answer) return std::unexpected(answer.error());
  if (context.json()) {
    context.print_json(*answer);
    return Exit::kDone;
  }
  context.out << "Kernel " << printable(text_of(*answer, "kernel")) << "\n\n";
  Table table({"FEATURE", "HERE", "WHY NOT", "USED INSTEAD"});
  for (const Json& feature : list_at(*answer, "features")) {
    const bool available = flag_at(feature, "available");
    table.add({{text_of(feature, "name")},
               {available ? "yes" : "no", available ? Colour::kGreen : Colour::kYellow},
               {text_of(feature, "reason")},
               {text_of(feature, "used_instead")}});
  }
  context.print(table);
  return Exit::kDone;
}

}  // namespace

Outcome<Json> fetch_kinds(Client& client) { return client.get("/api/chaos/kinds"); }

const Json* find_kind(const Json& kinds, std::string_view name) {
  const Json& list = list_at(kinds, "kinds");
  const auto found = std::ranges::find_if(list, [&](const Json& kind) { return text_of(kind, "name") == name; });
  return found != list.end() ? &*found : nullptr;
}

void print_kind_help(Context& context, const std::string& kind) {
  const Outcome<Json> kinds = fetch_kinds(context.client);
  if (!kinds) {
    context.out << "\nThe parameters of " << printable(kind) << " are the daemon's to tell, and it cannot be asked: "
                << printable(text_of(kinds.error().document, "detail")) << '\n';
    return;
  }
  const Json* found = find_kind(*kinds, kind);
  if (found == nullptr) {
    context.out << '\n' << render(unknown_kind(*kinds, kind).error());
    return;
  }
  context.out << '\n';
  print_kind(context, *found, list_at(*kinds, "common_parameters"));
}

std::vector<Command> kind_commands() {
  return {
      make_command<KindsOptions>("kinds", "List the kinds of fault, or one with its parameters", kinds_options,
                                 run_kinds),
      make_command("features", "Tell what this kernel can do, what not, and what is used instead", run_features),
  };
}

}  // namespace chaos::ctl
