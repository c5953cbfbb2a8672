#include <curl/curl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "api/problem.h"
#include "api_support.h"
#include "base/ulid.h"

namespace chaos::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

void echo(const HttpRequest& request, Respond respond) {
  json query(request.query);
  respond(json_response(200, {{"method", request.method},
                              {"path", request.path},
                              {"query", query},
                              {"body", request.body},
                              {"socket", request.socket},
                              {"view_only", request.view_only}}));
}

/// Requests whose answer a test gives itself.
struct Shelf {
  std::vector<Respond> kept;
  Handler handler() {
    return [this](const HttpRequest& request, Respond respond) {
      if (request.path == "/late") {
        kept.push_back(std::move(respond));
      } else {
        echo(request, std::move(respond));
      }
    };
  }
};

void expect_problem(const Reply& reply, int status, std::string_view name) {
  EXPECT_EQ(reply.status, status);
  EXPECT_EQ(reply.headers.at("content-type"), "application/problem+json");
  const json problem = json::parse(reply.body);
  EXPECT_EQ(problem.at("type"), "urn:chaosd:problem:" + std::string(name));
  EXPECT_EQ(problem.at("status"), status);
  EXPECT_EQ(problem.at("request_id"), reply.headers.at("x-request-id"));
  EXPECT_TRUE(is_ulid(reply.headers.at("x-request-id")));
}

TEST(HttpServer, PassesRequestOnAndAnswers) {
  TestServer server(echo);
  const Reply reply = ask(server.path(), "POST", "/some/p%61th?a=1&b=x%20y&c", "{\"k\":1}");
  ASSERT_EQ(reply.status, 200);
  const json body = json::parse(reply.body);
  EXPECT_EQ(body["method"], "POST");
  EXPECT_EQ(body["path"], "/some/path");
  EXPECT_EQ(body["query"], (json{{"a", "1"}, {"b", "x y"}, {"c", ""}}));
  EXPECT_EQ(body["body"], "{\"k\":1}");
  EXPECT_EQ(body["socket"], server.path());
  EXPECT_EQ(body["view_only"], false);
  EXPECT_EQ(reply.headers.at("cache-control"), "no-store");
  EXPECT_TRUE(is_ulid(reply.headers.at("x-request-id")));
  EXPECT_EQ(json::parse(ask(server.view_path(), "GET", "/").body)["view_only"], true);
}

TEST(HttpServer, KeepsConnectionForMoreRequests) {
  TestServer server(echo);
  RawClient client(server.path());
  for (int i = 0; i < 3; ++i) {
    client.send(request_text("GET", "/n" + std::to_string(i)));
    EXPECT_EQ(json::parse(client.read_reply().body)["path"], "/n" + std::to_string(i));
  }
  EXPECT_EQ(server.connections(), 1U);
}

TEST(HttpServer, AnswersLate) {
  Shelf shelf;
  TestServer server(shelf.handler());
  RawClient late(server.path());
  late.send(request_text("POST", "/late", "{}"));
  ASSERT_TRUE(server.thread().wait_until([&] { return shelf.kept.size() == 1; }));
  EXPECT_EQ(ask(server.path(), "GET", "/others").status, 200) << "others wait for the late one";
  server.thread().call([&] { shelf.kept[0]({.status = 202, .body = "late"}); });
  const Reply reply = late.read_reply();
  EXPECT_EQ(reply.status, 202);
  EXPECT_EQ(reply.body, "late");
}

TEST(HttpServer, SurvivesClientThatLeavesBeforeTheAnswer) {
  Shelf shelf;
  TestServer server(shelf.handler());
  RawClient late(server.path());
  late.send(request_text("GET", "/late"));
  ASSERT_TRUE(server.thread().wait_until([&] { return shelf.kept.size() == 1; }));
  late.close();
  server.thread().call([&] { shelf.kept[0](json_response(200, {})); });
  EXPECT_TRUE(server.thread().wait_until([&] { return server.server().connections() == 0; }));
  EXPECT_EQ(ask(server.path(), "GET", "/").status, 200);
}

TEST(HttpServer, AnswerMayComeAfterTheServerHasGone) {
  Shelf shelf;
  TestServer server(shelf.handler());
  RawClient late(server.path());
  late.send(request_text("GET", "/late"));
  ASSERT_TRUE(server.thread().wait_until([&] { return shelf.kept.size() == 1; }));
  server.destroy();
  EXPECT_TRUE(late.wait_for_end());
  server.thread().call([&] {
    shelf.kept[0](json_response(200, {}));
    shelf.kept.clear();
  });
}

TEST(HttpServer, DroppedAnswerIsUnavailable) {
  Shelf shelf;
  TestServer server(shelf.handler());
  RawClient late(server.path());
  late.send(request_text("GET", "/late"));
  ASSERT_TRUE(server.thread().wait_until([&] { return shelf.kept.size() == 1; }));
  // Here, not on the loop: a job that is thrown away dies on a worker's thread.
  std::vector<Respond> dropped;
  server.thread().call([&] { dropped.swap(shelf.kept); });
  dropped.clear();
  expect_problem(late.read_reply(), 503, "unavailable");
}

TEST(HttpServer, RefusesBodyOverTheLimit) {
  std::atomic<int> calls = 0;
  TestServer server([&](const HttpRequest& request, Respond respond) {
    ++calls;
    echo(request, std::move(respond));
  });
  const std::string ten_megabytes(10'000'000, 'x');
  expect_problem(ask(server.path(), "POST", "/", ten_megabytes), 413, "too-large");

  RawClient polite(server.path());
  polite.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\nExpect: 100-continue\r\n\r\n");
  expect_problem(polite.read_reply(), 413, "too-large");

  RawClient huge(server.path());
  huge.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n");
  expect_problem(huge.read_reply(), 413, "too-large");

  RawClient chunked(server.path());
  chunked.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 20; ++i) chunked.send("2000\r\n" + std::string(0x2000, 'x') + "\r\n");
  chunked.send("0\r\n\r\n");
  expect_problem(chunked.read_reply(), 413, "too-large");
  EXPECT_EQ(calls, 0);

  const std::string just_fits(64 * 1024, 'x');
  EXPECT_EQ(ask(server.path(), "POST", "/", just_fits).status, 200);
  EXPECT_EQ(calls, 1);
}

TEST(HttpServer, RefusesHeadersOverTheLimit) {
  std::atomic<int> calls = 0;
  TestServer server([&](const HttpRequest& request, Respond respond) {
    ++calls;
    echo(request, std::move(respond));
  });
  expect_problem(ask(server.path(), "GET", "/", {}, {{"X-Big", std::string(20'000, 'h')}}), 431, "headers-too-large");
  const HeaderList some(300, {"X-Some", std::string(60, 's')});
  expect_problem(ask(server.path(), "GET", "/", {}, some), 431, "headers-too-large");
  const HeaderList many(2000, {"X-Small", "0123456789"});
  EXPECT_EQ(ask(server.path(), "GET", "/", {}, many).status, 431);
  expect_problem(ask(server.path(), "GET", "/" + std::string(20'000, 'u')), 431, "headers-too-large");

  RawClient flood(server.path());
  flood.send("GET / HTTP/1.1\r\nHost: x\r\n");
  const std::string field = "X-Flood: " + std::string(1000, 'f') + "\r\n";
  int sent = 0;
  while (sent < 10'000 && flood.send(field)) ++sent;
  EXPECT_LT(sent, 10'000) << "took 10 MB of headers";
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(ask(server.path(), "GET", "/").status, 200);
}

TEST(HttpServer, ClosesHalfARequestAfterTheTimeout) {
  std::atomic<int> calls = 0;
  TestServer server(
      [&](const HttpRequest& request, Respond respond) {
        ++calls;
        echo(request, std::move(respond));
      },
      {.timeout = 300ms});
  const auto begin = std::chrono::steady_clock::now();
  RawClient silent(server.path());
  RawClient half_line(server.path());
  half_line.send("POST /api/cha");
  RawClient half_headers(server.path());
  half_headers.send("POST / HTTP/1.1\r\nHost: x\r\nContent-");
  RawClient half_body(server.path());
  half_body.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"kind\":");
  for (RawClient* client : {&silent, &half_line, &half_headers, &half_body}) EXPECT_TRUE(client->wait_for_end());
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_GE(took, 300ms);
  EXPECT_LT(took, kPatience);
  EXPECT_EQ(calls, 0);
  EXPECT_TRUE(server.thread().wait_until([&] { return server.server().connections() == 0; }));
}

TEST(HttpServer, SlowClientDoesNotStretchTheTimeout) {
  TestServer server(echo, {.timeout = 400ms});
  // One byte at a time, each well before the timeout, until the server has had enough.
  const auto drip = [](RawClient& client, std::string_view bytes) {
    const auto begin = std::chrono::steady_clock::now();
    for (std::size_t i = 0; client.send(bytes.substr(i % bytes.size(), 1)); ++i) {
      char unused = 0;
      const timeval pause{.tv_sec = 0, .tv_usec = 50'000};
      (void)::setsockopt(client.fd(), SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof pause);
      if (::recv(client.fd(), &unused, 1, 0) == 0) break;
      if (std::chrono::steady_clock::now() - begin > kPatience) break;
    }
    return std::chrono::steady_clock::now() - begin;
  };
  RawClient first(server.path());
  EXPECT_LT(drip(first, "GET / HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            kPatience);
  RawClient second(server.path());
  second.send(request_text("GET", "/"));
  ASSERT_EQ(second.read_reply().status, 200);
  EXPECT_LT(drip(second, "POST / HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            kPatience);
}

TEST(HttpServer, LateAnswerIsNotUnderTheTimeout) {
  Shelf shelf;
  TestServer server(shelf.handler(), {.timeout = 100ms});
  RawClient late(server.path());
  late.send(request_text("GET", "/late"));
  ASSERT_TRUE(server.thread().wait_until([&] { return shelf.kept.size() == 1; }));
  RawClient witness(server.path());
  ASSERT_TRUE(witness.wait_for_end()) << "the timeout of a younger connection has passed";
  server.thread().call([&] { shelf.kept[0](json_response(200, {})); });
  EXPECT_EQ(late.read_reply().status, 200);
}

TEST(HttpServer, ServesManyClientsAtOnce) {
  constexpr std::size_t kClients = 300;
  Shelf shelf;
  TestServer server(shelf.handler());
  std::vector<std::unique_ptr<RawClient>> clients;
  for (std::size_t i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<RawClient>(server.path()));
    ASSERT_TRUE(clients.back()->connected());
    clients.back()->send(request_text("GET", "/late"));
  }
  ASSERT_TRUE(server.thread().wait_until([&] { return shelf.kept.size() == kClients; })) << "all are in at once";
  EXPECT_EQ(server.connections(), kClients);
  server.thread().call([&] {
    for (auto& respond : shelf.kept) respond(json_response(200, {{"ok", true}}));
  });
  for (auto& client : clients) EXPECT_EQ(client->read_reply().status, 200);
}

TEST(HttpServer, ClientsOverTheLimitWaitTheirTurn) {
  TestServer server(echo, {.clients = 2});
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<RawClient>(server.path()));
    clients.back()->send(request_text("GET", "/"));
  }
  ASSERT_EQ(clients[0]->read_reply().status, 200);
  ASSERT_EQ(clients[1]->read_reply().status, 200);
  EXPECT_EQ(server.connections(), 2U);
  clients[0]->close();
  clients[1]->close();
  EXPECT_EQ(clients[2]->read_reply().status, 200);
  EXPECT_EQ(clients[3]->read_reply().status, 200);
}

TEST(HttpServer, SurvivesGarbage) {
  TestServer server(echo, {.timeout = 200ms});
  for (const std::string& bytes :
       {std::string("\0\0\0\0\r\n\r\n", 8), std::string("GET\r\n\r\n"), std::string("GET / HTTP/9.9\r\n\r\n"),
        std::string("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"),
        std::string("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        std::string(5000, '\xff')}) {
    RawClient client(server.path());
    client.send(bytes);
    ::shutdown(client.fd(), SHUT_WR);
    EXPECT_TRUE(client.wait_for_end());
  }
  EXPECT_EQ(ask(server.path(), "GET", "/").status, 200);
}

TEST(HttpServer, AnswersClientThatHasDoneWriting) {
  Shelf shelf;
  TestServer server(shelf.handler());
  RawClient client(server.path());
  client.send(request_text("GET", "/late"));
  ::shutdown(client.fd(), SHUT_WR);
  ASSERT_TRUE(server.thread().wait_until([&] { return shelf.kept.size() == 1; }));
  server.thread().call([&] { shelf.kept[0](json_response(200, {})); });
  EXPECT_EQ(client.read_reply().status, 200);
}

/// Serves one stream to whoever asks.
struct Streaming {
  std::shared_ptr<ByteStream> stream = std::make_shared<ByteStream>();
  TestServer server{[this](const HttpRequest&, Respond respond) {
    respond(
        {.status = 200, .headers = {{"Content-Type", "text/event-stream"}}, .body = {}, .stream = stream, .audit = {}});
  }};
  bool write(std::string_view bytes, std::size_t limit = 1000) {
    return server.thread().call([&] { return stream->write(bytes, limit); });
  }
};

TEST(HttpServer, StreamsWhatIsWrittenLater) {
  Streaming streaming;
  EXPECT_TRUE(streaming.write("first "));
  RawClient client(streaming.server.path());
  client.send(request_text("GET", "/"));
  ASSERT_EQ(client.read_reply().status, 200);
  EXPECT_EQ(client.read_until("first "), "first ");
  EXPECT_TRUE(streaming.write("second "));
  EXPECT_EQ(client.read_until("second "), "second ");
  streaming.server.thread().call([&] {
    streaming.stream->write("last", 1000);
    streaming.stream->finish();
  });
  EXPECT_EQ(client.read_until("never"), "last") << "and then the end of the response";
  client.send(request_text("GET", "/"));
  EXPECT_EQ(client.read_reply().status, 200) << "the connection is still good";
}

TEST(HttpServer, TellsTheStreamThatItsReaderHasGone) {
  Streaming streaming;
  RawClient client(streaming.server.path());
  client.send(request_text("GET", "/"));
  ASSERT_EQ(client.read_reply().status, 200);
  client.close();
  EXPECT_TRUE(streaming.server.thread().wait_until([&] {
    streaming.stream->write("x", SIZE_MAX);
    return streaming.stream->reader_gone();
  }));
  EXPECT_FALSE(streaming.write("y"));
}

TEST(HttpServer, CutsOffAnAbortedStream) {
  Streaming streaming;
  RawClient client(streaming.server.path());
  client.send(request_text("GET", "/"));
  ASSERT_EQ(client.read_reply().status, 200);
  // Far more than the socket takes: MHD waits for room that never comes.
  EXPECT_TRUE(streaming.write(std::string(4'000'000, 'x'), SIZE_MAX));
  streaming.server.thread().call([&] { streaming.stream->abort(); });
  EXPECT_TRUE(streaming.server.thread().wait_until([&] { return streaming.server.server().connections() == 0; }));
}

TEST(HttpServer, EndsStreamsWhenItGoes) {
  Streaming streaming;
  RawClient client(streaming.server.path());
  client.send(request_text("GET", "/"));
  ASSERT_EQ(client.read_reply().status, 200);
  streaming.server.destroy();
  EXPECT_TRUE(client.wait_for_end());
  EXPECT_FALSE(streaming.write("nobody"));
}

size_t append(char* data, size_t size, size_t count, void* to) {
  static_cast<std::string*>(to)->append(data, size * count);
  return size * count;
}

TEST(HttpServer, WorksWithLibcurl) {
  TestServer server(echo);
  const std::string body(200'000, 'b');
  std::string answer;
  CURL* curl = curl_easy_init();
  ASSERT_NE(curl, nullptr);
  curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, server.path().c_str());
  curl_easy_setopt(curl, CURLOPT_URL, "http://localhost/x");
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
  ASSERT_EQ(curl_easy_perform(curl), CURLE_OK);
  EXPECT_EQ(json::parse(answer)["path"], "/x");
  answer.clear();
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.c_str());
  ASSERT_EQ(curl_easy_perform(curl), CURLE_OK);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  EXPECT_EQ(status, 413);
  EXPECT_EQ(json::parse(answer)["type"], "urn:chaosd:problem:too-large");
  curl_easy_cleanup(curl);
}

}  // namespace
}  // namespace chaos::test
