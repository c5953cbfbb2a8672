// Answers as a daemon gives them to chaosctl top, and screens as text.
#pragma once

#include <string>
#include <vector>

#include "ctl/top_layout.h"
#include "ctl/top_model.h"

namespace chaos::test {

/// Seconds after a fixed moment.
[[nodiscard]] WallTime at_second(double seconds);

/// A host with two CPUs, eth0 and vda, `seconds` after the first look: its counters grow evenly.
[[nodiscard]] ctl::Json host_answer(double seconds);
/// An active packet_loss with 10% asked for, `injected` so far, that ends at second 100.
[[nodiscard]] ctl::Json loss_scenario(const std::string& id, std::uint64_t injected);
/// `healthy` web and unhealthy store.
[[nodiscard]] ctl::Json services_answer();
[[nodiscard]] ctl::Json drops_answer(double seconds, std::uint64_t injected, std::uint64_t natural);
[[nodiscard]] ctl::Json tcp_answer(double seconds, std::uint64_t retransmits);

/// All of the above at that second, with one fault that injects ten a second, and without drops.
[[nodiscard]] ctl::TopSample sample_at(double seconds);

/// The lines of a screen, blanks at the end taken off.
[[nodiscard]] std::vector<std::string> screen(const ctl::TopModel& model, const ctl::TopView& view, ctl::TopSize size,
                                              bool unicode = true);
[[nodiscard]] std::string joined(const std::vector<std::string>& lines);

}  // namespace chaos::test
