#include "plan/container_names.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <system_error>

namespace chaos {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

/// Null for what is not there or no JSON.
Json read_json(const fs::path& path) {
  std::ifstream file(path);
  return file ? Json::parse(file, nullptr, false) : Json();
}

std::string text(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

void add_docker(const std::string& name, const fs::path& directory, std::set<std::string>& ids) {
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (text(read_json(it->path() / "config.v2.json"), "Name") == "/" + name) ids.insert(it->path().filename());
  }
}

bool has_name(const Json& container, const std::string& name) {
  const auto names = container.is_object() ? container.find("names") : container.end();
  return names != container.end() && names->is_array() && std::ranges::find(*names, Json(name)) != names->end();
}

/// "overlay-containers/containers.json", "vfs-containers/…", … beside each other.
void add_storage(const std::string& name, const fs::path& directory, std::set<std::string>& ids) {
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (!it->path().filename().string().ends_with("-containers")) continue;
    const Json containers = read_json(it->path() / "containers.json");
    if (!containers.is_array()) continue;
    for (const Json& container : containers) {
      if (has_name(container, name)) ids.insert(text(container, "id"));
    }
  }
}

}  // namespace

std::set<std::string> containers_named(const std::string& name, const fs::path& var_lib) {
  std::set<std::string> ids;
  add_docker(name, var_lib / "docker" / "containers", ids);
  add_storage(name, var_lib / "containers" / "storage", ids);
  ids.erase("");
  return ids;
}

}  // namespace chaos
