#include "config/check.h"

#include <algorithm>
#include <exception>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include "config/documents.h"
#include "config/kinds.h"
#include "config/schema.h"
#include "config/suggest.h"

namespace chaos::config_detail {
namespace {

/// Aliases can make a small file a large document.
constexpr std::size_t kMaxNodes = 20'000;

Position position_of(const YAML::Mark& mark) {
  return mark.is_null() ? Position{} : Position{mark.line + 1, mark.column + 1};
}

Error problem(std::string message, std::string rule, std::string hint = {}) {
  return Error{Errc::kInvalid, std::move(message), {}, std::move(rule), std::move(hint)};
}

/// A place in the document: the names that lead there and the keys of the schema at or below it.
struct Path {
  std::vector<std::string> segments;
  std::vector<std::string> names;  ///< those that wildcards stand for
  std::vector<const KeySpec*> keys;

  [[nodiscard]] std::string str() const {
    std::string text;
    for (const std::string& segment : segments) {
      if (!text.empty() && !segment.starts_with('[')) text += '.';
      text += segment;
    }
    return text;
  }
  [[nodiscard]] std::size_t depth() const { return segments.size(); }
  /// The key that ends here, if one does.
  [[nodiscard]] const KeySpec* key() const {
    const auto found =
        std::ranges::find_if(keys, [this](const KeySpec* key) { return path_segments(key->path).size() == depth(); });
    return found == keys.end() ? nullptr : *found;
  }
  /// What the schema has at the next level: literal names and wildcards, each once.
  [[nodiscard]] std::vector<std::string_view> next() const {
    std::vector<std::string_view> segments_below;
    for (const KeySpec* key : keys) {
      const auto all = path_segments(key->path);
      if (all.size() > depth() && std::ranges::find(segments_below, all[depth()]) == segments_below.end()) {
        segments_below.push_back(all[depth()]);
      }
    }
    return segments_below;
  }
  /// One level down. `wildcard`: empty, or the wildcard that the name stands for.
  [[nodiscard]] Path child(const std::string& segment, std::string_view wildcard) const {
    Path path{segments, names, {}};
    path.segments.push_back(segment);
    if (!wildcard.empty()) path.names.push_back(wildcard == "[]" ? segment.substr(1, segment.size() - 2) : segment);
    for (const KeySpec* key : keys) {
      const auto all = path_segments(key->path);
      if (all.size() > depth() && (all[depth()] == segment || (!wildcard.empty() && all[depth()] == wildcard))) {
        path.keys.push_back(key);
      }
    }
    return path;
  }
};

class Checker {
 public:
  explicit Checker(Findings& findings) : findings_(findings) {}

  void check(const YAML::Node& root) {
    Path top;
    for (const KeySpec& key : config_schema()) top.keys.push_back(&key);
    check_section(root, {1, 1}, top);
  }
  Checked take() { return std::move(checked_); }

 private:
  void check_node(const YAML::Node& node, Position position, const Path& path);
  void check_section(const YAML::Node& node, Position position, const Path& path);
  void check_elements(const YAML::Node& node, Position position, const Path& path);
  void check_entry(const YAML::Node& key_node, const YAML::Node& value, const Path& path, std::set<std::string>& seen);
  void check_required(Position position, const Path& path, const std::set<std::string>& seen);
  void check_value(const YAML::Node& node, Position position, const Path& path, const KeySpec& key);
  void check_list(const YAML::Node& node, Position position, const Path& path, const KeySpec& key);
  std::optional<Value> check_scalar(const YAML::Node& node, Position position, const std::string& path,
                                    const KeySpec& key, Names names);
  std::optional<Path> find_child(Position position, const std::string& name, const Path& path);
  void unknown_key(Position position, const std::string& name, const Path& path);
  void store(const Path& path, const KeySpec& key, Values values);
  bool within_budget(Position position);

  Findings& findings_;
  Checked checked_;
  std::size_t nodes_ = 0;
};

bool Checker::within_budget(Position position) {
  if (++nodes_ == kMaxNodes) {
    findings_.add_error(position, "", problem("the document is too large", fmt::format("max {} values", kMaxNodes)));
  }
  return nodes_ < kMaxNodes;
}

void Checker::check_node(const YAML::Node& node, Position position, const Path& path) {
  if (!within_budget(position)) return;
  findings_.place(path.str(), position);
  const KeySpec* key = path.key();
  if (key != nullptr && key->type != ValueType::kSection) return check_value(node, position, path, *key);
  if (key != nullptr) key->set(checked_.config, path.names, {});
  if (path.next() == std::vector<std::string_view>{"[]"}) return check_elements(node, position, path);
  check_section(node, position, path);
}

void Checker::check_section(const YAML::Node& node, Position position, const Path& path) {
  if (!node.IsMap() && !node.IsNull()) {
    const std::string got = node.IsSequence() ? "a list" : excerpt(node.Scalar());
    findings_.add_error(position, path.str(),
                        problem(fmt::format("expected {}, got {}", describe(ValueType::kSection), got), "a mapping",
                                fmt::format("keys here: {}", fmt::join(path.next(), ", "))));
    return;
  }
  std::set<std::string> seen;
  for (const auto& entry : node) check_entry(entry.first, entry.second, path, seen);
  check_required(position, path, seen);
}

void Checker::check_entry(const YAML::Node& key_node, const YAML::Node& value, const Path& path,
                          std::set<std::string>& seen) {
  const Position position = position_of(key_node.Mark());
  if (!within_budget(position)) return;
  if (!key_node.IsScalar()) {
    findings_.add_error(position, path.str(), problem("a key must be a plain name", "keys are names"));
    return;
  }
  const std::string& name = key_node.Scalar();
  auto child = find_child(position, name, path);
  if (!child) return;
  if (!seen.insert(name).second) {
    findings_.add_error(position, child->str(),
                        problem("this key is given twice", "each key once", "remove one of the two"));
    return;
  }
  // A null has no place of its own that would help: the key is where to look.
  check_node(value, value.IsNull() ? position : position_of(value.Mark()), *child);
}

void Checker::check_elements(const YAML::Node& node, Position position, const Path& path) {
  if (node.IsNull()) return;
  if (!node.IsSequence()) {
    findings_.add_error(position, path.str(),
                        problem("expected a list of mappings", "a list", "begin each element with \"- \""));
    return;
  }
  for (std::size_t i = 0; i < node.size(); ++i) {
    const Position at = position_of(node[i].Mark());
    check_node(node[i], at.line > 0 ? at : position, path.child(fmt::format("[{}]", i), "[]"));
  }
}

void Checker::check_required(Position position, const Path& path, const std::set<std::string>& seen) {
  for (const KeySpec* key : path.keys) {
    const auto segments = path_segments(key->path);
    if (!key->required || segments.size() != path.depth() + 1 || seen.contains(std::string(segments.back()))) continue;
    const Path missing = path.child(std::string(segments.back()), "");
    findings_.add_error(position, missing.str(),
                        problem(fmt::format("is missing ({})", key->help), "required", summary(*key)));
  }
}

std::optional<Path> Checker::find_child(Position position, const std::string& name, const Path& path) {
  const auto below = path.next();
  const auto wild = std::ranges::find_if(below, is_wildcard);
  const std::string_view wildcard = wild == below.end() ? std::string_view{} : *wild;
  const KindEntry* kind = wildcard == "PARAMETER" ? find_config_kind(path.names.at(0)) : nullptr;
  bool known = std::ranges::find(below, name) != below.end() && !is_wildcard(name);
  if (wildcard == "KIND") {
    known = find_config_kind(name) != nullptr;
  } else if (wildcard == "PARAMETER") {
    known = kind != nullptr && find_config_parameter(*kind, name) != nullptr;
  } else if (!wildcard.empty()) {
    known = is_config_name(name);
    if (!known) {
      findings_.add_error(
          position, path.str(),
          problem(excerpt(name) + " cannot be a name", "letters, digits, _ - and . (not first - or .), at most 64"));
      return std::nullopt;
    }
  }
  if (known) return path.child(name, wildcard);
  unknown_key(position, name, path);
  return std::nullopt;
}

void Checker::unknown_key(Position position, const std::string& name, const Path& path) {
  std::vector<std::string_view> candidates;
  std::string_view what = "key";
  for (const std::string_view segment : path.next()) {
    if (segment == "KIND") {
      what = "kind";
      std::ranges::transform(config_kinds(), std::back_inserter(candidates), &KindEntry::name);
    } else if (segment == "PARAMETER") {
      what = "parameter";
      const KindEntry* kind = find_config_kind(path.names.at(0));
      std::ranges::transform(kind->parameters, std::back_inserter(candidates), &KindParameter::name);
      candidates.emplace_back("max_events");
    } else if (std::ranges::find(candidates, segment) == candidates.end() && what == "key") {
      candidates.push_back(segment);
    }
  }
  std::string meant(nearest_name(name, candidates));
  if (meant.empty()) {
    // Right name, wrong section?
    for (const KeySpec& key : config_schema()) {
      const auto segments = path_segments(key.path);
      if (segments.back() == name && std::ranges::none_of(segments, is_wildcard)) meant = key.path;
    }
  }
  std::string message = fmt::format("unknown {} {}", what, excerpt(name));
  if (!meant.empty()) message += fmt::format(", did you mean \"{}\"?", meant);
  const std::string full = path.segments.empty() ? name : path.str() + "." + name;
  findings_.add_error(position, full,
                      problem(std::move(message), fmt::format("known {}s only", what),
                              fmt::format("{}s here: {}", what, fmt::join(candidates, ", "))));
}

void Checker::check_value(const YAML::Node& node, Position position, const Path& path, const KeySpec& key) {
  if (node.IsNull()) {
    const std::string_view hint =
        key.list ? "write [] for an empty list, or leave the key out" : "or leave the key out";
    findings_.add_error(
        position, path.str(),
        problem(fmt::format("has no value: expected {}{}", key.list ? "a list, each " : "", describe(key.type)),
                summary(key), std::string(hint)));
    return;
  }
  if (key.list) return check_list(node, position, path, key);
  const auto value = check_scalar(node, position, path.str(), key, path.names);
  if (value) store(path, key, std::span(&*value, 1));
}

void Checker::check_list(const YAML::Node& node, Position position, const Path& path, const KeySpec& key) {
  const std::string name = path.str();
  if (!node.IsSequence()) {
    const std::string got = node.IsMap() ? "a mapping" : excerpt(node.Scalar());
    findings_.add_error(position, name,
                        problem(fmt::format("expected a list, each {}, got {}", describe(key.type), got), summary(key),
                                "write [a, b]"));
    return;
  }
  if (node.size() < key.min_items) {
    findings_.add_error(position, name, problem("the list is empty", fmt::format("min {} element", key.min_items)));
    return;
  }
  std::vector<Value> values;
  std::set<std::string> seen;
  bool good = true;
  for (std::size_t i = 0; i < node.size(); ++i) {
    const Position found = position_of(node[i].Mark());
    const Position at = found.line > 0 ? found : position;
    if (!within_budget(at)) return;
    const auto value = check_scalar(node[i], at, fmt::format("{}[{}]", name, i), key, path.names);
    if (value && key.unique && !seen.insert(value->text).second) {
      findings_.add_error(
          at, fmt::format("{}[{}]", name, i),
          problem(excerpt(value->text) + " is in the list twice", "each element once", "remove one of the two"));
    }
    good = good && value;
    if (value) values.push_back(*value);
  }
  if (good) store(path, key, values);
}

Result<Value> parse_for(const KeySpec& key, Names names, const Scalar& scalar) {
  if (key.type != ValueType::kBound && key.type != ValueType::kStep) return parse_value(key.type, key.choices, scalar);
  const KindEntry* kind = find_config_kind(names[0]);
  const KindParameter* parameter = kind == nullptr ? nullptr : find_config_parameter(*kind, names[1]);
  if (parameter == nullptr) return fail(Errc::kInvalid, "unknown parameter " + excerpt(names[1]));
  if (key.type == ValueType::kBound && !can_be_bounded(parameter->form)) {
    return fail(Errc::kInvalid, fmt::format("{} has no order, so it cannot be bounded", names[1]), {},
                "bounds are for numbers", "remove this bound");
  }
  return parse_parameter_value(*parameter, scalar);
}

/// Range checks. The limits of the schema are of the key's own type, so they parse.
std::optional<Error> out_of_range(const KeySpec& key, const Value& value) {
  if (!key.minimum.empty()) {
    const auto minimum = parse_value(key.type, {}, {std::string(key.minimum)});
    if (value.magnitude < minimum->magnitude || (key.above_minimum && value.magnitude == minimum->magnitude)) {
      const std::string rule = fmt::format("{} {}", key.above_minimum ? "above" : "min", key.minimum);
      return problem(fmt::format("{} is too low ({})", value.text, rule), rule, summary(key));
    }
  }
  if (!key.maximum.empty()) {
    const auto maximum = parse_value(key.type, {}, {std::string(key.maximum)});
    if (value.magnitude > maximum->magnitude) {
      const std::string rule = fmt::format("max {}", key.maximum);
      return problem(fmt::format("{} is too high ({})", value.text, rule), rule, summary(key));
    }
  }
  return std::nullopt;
}

std::optional<Value> Checker::check_scalar(const YAML::Node& node, Position position, const std::string& path,
                                           const KeySpec& key, Names names) {
  if (!node.IsScalar()) {
    const std::string_view got = node.IsSequence() ? "a list" : node.IsMap() ? "a mapping" : "nothing";
    findings_.add_error(position, path,
                        problem(fmt::format("expected {}, got {}", describe(key.type), got), summary(key)));
    return std::nullopt;
  }
  // yaml-cpp tags a plain scalar "?" and a quoted one "!".
  const Scalar scalar{node.Scalar(), node.Tag() == "!"};
  if (scalar.text.empty() && key.default_value == "\"\"") return Value{};
  auto value = parse_for(key, names, scalar);
  std::optional<Error> error = value ? out_of_range(key, *value) : std::optional(std::move(value.error()));
  if (error) {
    if (key.type == ValueType::kChoice) {
      if (const auto meant = nearest_name(scalar.text, key.choices); !meant.empty()) {
        error->hint = fmt::format("did you mean \"{}\"?", meant);
      }
    }
    findings_.add_error(position, path, std::move(*error));
    return std::nullopt;
  }
  return std::move(*value);
}

void Checker::store(const Path& path, const KeySpec& key, Values values) {
  key.set(checked_.config, path.names, values);
  if (!in_effect(key, path.names)) checked_.not_in_effect.push_back(path.str());
}

}  // namespace

Checked check_document(std::string_view yaml, Findings& findings) {
  Checker checker(findings);
  try {
    const std::string text(yaml);
    if (const auto second = second_document(text)) {
      findings.add_error(*second, "",
                         problem("a second YAML document begins here, or a comma is out of place",
                                 "one document a file", "remove the \"---\" or the comma"));
    }
    checker.check(YAML::Load(text));
  } catch (const YAML::Exception& error) {
    findings.add_error(position_of(error.mark), "", problem(fmt::format("not valid YAML: {}", error.msg), "YAML 1.2"));
  } catch (const std::exception& error) {
    findings.add_error({}, "", problem(fmt::format("not valid YAML: {}", error.what()), "YAML 1.2"));
  }
  return checker.take();
}

}  // namespace chaos::config_detail
