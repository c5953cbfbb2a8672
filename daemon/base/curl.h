// Curl: the functions of libcurl that chaosd and chaosctl use, opened at run time. Linked, it and the 30 libraries
// behind it would cost a chaosd that has no webhooks 3 MB of resident memory, and chaosctl's emergency stop 10 ms.
#pragma once

#include <curl/curl.h>

#include "base/result.h"

namespace chaos {

struct Curl {
  decltype(&curl_global_init) global_init;
  decltype(&curl_easy_init) easy_init;
  decltype(&curl_easy_reset) easy_reset;
  decltype(&curl_easy_perform) easy_perform;
  decltype(&curl_easy_setopt) easy_setopt;
  decltype(&curl_easy_getinfo) easy_getinfo;
  decltype(&curl_easy_cleanup) easy_cleanup;
  decltype(&curl_easy_strerror) easy_strerror;
  decltype(&curl_slist_append) slist_append;
  decltype(&curl_slist_free_all) slist_free_all;
  decltype(&curl_multi_init) multi_init;
  decltype(&curl_multi_cleanup) multi_cleanup;
  decltype(&curl_multi_add_handle) multi_add_handle;
  decltype(&curl_multi_remove_handle) multi_remove_handle;
  decltype(&curl_multi_perform) multi_perform;
  decltype(&curl_multi_poll) multi_poll;
  decltype(&curl_multi_wakeup) multi_wakeup;
  decltype(&curl_multi_info_read) multi_info_read;

  /// Loads and initialises libcurl, once for the process; it stays. Takes some 10 ms: not on the loop. Any thread, if
  /// no other part of the process uses libcurl. Error: kUnsupported.
  static Result<const Curl*> load();
};

}  // namespace chaos
