#include "line/own_cpu.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <latch>
#include <set>
#include <thread>
#include <vector>

namespace chaos {
namespace {

unsigned cpus_here() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  EXPECT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  return static_cast<unsigned>(CPU_COUNT(&allowed));
}

/// Where so many lines at once are kept, by what the kernel says of their threads.
std::multiset<int> places_of(unsigned lines) {
  std::vector<int> found(lines, -1);
  std::latch all_there(static_cast<std::ptrdiff_t>(lines));
  {
    std::vector<std::jthread> threads;
    threads.reserve(lines);
    for (int& place : found) {
      threads.emplace_back([&] {
        const OwnCpu own;
        all_there.arrive_and_wait();
        cpu_set_t allowed;
        CPU_ZERO(&allowed);
        if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0 || CPU_COUNT(&allowed) != 1) return;
        if (CPU_ISSET(static_cast<unsigned>(own.number()), &allowed)) place = own.number();
      });
    }
  }
  return {found.begin(), found.end()};
}

TEST(OwnCpu, EachLineHasOneAndNoneIsSharedWhileOthersAreFree) {
  const unsigned cpus = cpus_here();
  const std::multiset<int> places = places_of(cpus);
  EXPECT_FALSE(places.contains(-1));
  EXPECT_EQ(std::set<int>(places.begin(), places.end()).size(), cpus);
}

TEST(OwnCpu, MoreLinesThanCpusAreSharedOutEvenly) {
  const unsigned cpus = cpus_here();
  const std::multiset<int> places = places_of(3 * cpus);
  EXPECT_FALSE(places.contains(-1));
  for (const int cpu : std::set<int>(places.begin(), places.end())) EXPECT_EQ(places.count(cpu), 3U) << cpu;
}

TEST(OwnCpu, WhoEndsMakesRoom) {
  for (int round = 0; round < 20; ++round) {
    const std::multiset<int> places = places_of(cpus_here());
    EXPECT_EQ(std::set<int>(places.begin(), places.end()).size(), cpus_here()) << round;
  }
}

}  // namespace
}  // namespace chaos
