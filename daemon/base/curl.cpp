#include "base/curl.h"

#include <dlfcn.h>

#include <string>

namespace chaos {
namespace {

constexpr const char* kLibrary = "libcurl.so.4";

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

Result<Curl> open_library() {
  void* library = ::dlopen(kLibrary, RTLD_LAZY | RTLD_LOCAL);
  Curl curl{};
  const bool complete =
      library != nullptr && find(library, "curl_global_init", curl.global_init) &&
      find(library, "curl_easy_init", curl.easy_init) && find(library, "curl_easy_reset", curl.easy_reset) &&
      find(library, "curl_easy_perform", curl.easy_perform) && find(library, "curl_easy_setopt", curl.easy_setopt) &&
      find(library, "curl_easy_getinfo", curl.easy_getinfo) && find(library, "curl_easy_cleanup", curl.easy_cleanup) &&
      find(library, "curl_easy_strerror", curl.easy_strerror) &&
      find(library, "curl_slist_append", curl.slist_append) &&
      find(library, "curl_slist_free_all", curl.slist_free_all) && find(library, "curl_multi_init", curl.multi_init) &&
      find(library, "curl_multi_cleanup", curl.multi_cleanup) &&
      find(library, "curl_multi_add_handle", curl.multi_add_handle) &&
      find(library, "curl_multi_remove_handle", curl.multi_remove_handle) &&
      find(library, "curl_multi_perform", curl.multi_perform) && find(library, "curl_multi_poll", curl.multi_poll) &&
      find(library, "curl_multi_wakeup", curl.multi_wakeup) &&
      find(library, "curl_multi_info_read", curl.multi_info_read);
  if (!complete) {
    const char* reason = ::dlerror();
    return fail(Errc::kUnsupported, std::string("libcurl cannot be loaded: ") + (reason != nullptr ? reason : kLibrary),
                {}, {}, "install libcurl4");
  }
  if (curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return fail(Errc::kUnsupported, "libcurl does not start");
  return curl;
}

}  // namespace

Result<const Curl*> Curl::load() {
  static const Result<Curl> curl = open_library();
  if (!curl) return std::unexpected(curl.error());
  return &*curl;
}

}  // namespace chaos
