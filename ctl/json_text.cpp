#include "ctl/json_text.h"

namespace chaos::ctl {
namespace {

const Json kNull;
const Json kEmptyList = Json::array();

std::string joined(const Json& list, std::string_view separator) {
  std::string text;
  for (const Json& item : list) {
    if (!text.empty()) text += separator;
    text += text_of(item);
  }
  return text;
}

}  // namespace

std::string text_of(const Json& value) {
  if (value.is_null()) return {};
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array()) return joined(value, ", ");
  if (value.is_object()) {
    std::string text;
    for (const auto& [key, item] : value.items()) {
      if (!text.empty()) text += ", ";
      text += key + "=" + text_of(item);
    }
    return text;
  }
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string text_of(const Json& object, std::string_view key) { return text_of(member(object, key)); }

const Json& member(const Json& object, std::string_view key) {
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found != object.end() ? *found : kNull;
}

const Json& list_at(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  return value.is_array() ? value : kEmptyList;
}

std::uint64_t number_at(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  const std::int64_t number = value.is_number_integer() ? value.get<std::int64_t>() : 0;
  return number > 0 ? static_cast<std::uint64_t>(number) : 0;
}

bool flag_at(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  return value.is_boolean() && value.get<bool>();
}

std::string target_text(const Json& target) {
  if (!target.is_object()) return text_of(target);
  std::string text;
  for (const auto& [key, value] : target.items()) {
    if (!text.empty()) text += ' ';
    text += key + "=" + (value.is_array() ? joined(value, ",") : text_of(value));
  }
  return text;
}

}  // namespace chaos::ctl
