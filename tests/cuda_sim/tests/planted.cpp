// Every planted mistake is reported, with the line, the thread and the memory; its twin is silent.
#include "planted.h"

#include <gmock/gmock.h>

#include <algorithm>

namespace cudasim::testing {
namespace {

std::vector<Plant>& plants() {
  static std::vector<Plant> all;
  return all;
}

constexpr std::initializer_list<Order> kOrders{Order::forward, Order::reverse, Order::seeded};

Config quiet(Order order, std::uint64_t seed) {
  Config c = config();
  c.order = order;
  c.seed = seed;
  c.verbose = false;
  return c;
}

std::string text_of(const std::vector<Report>& reports) {
  std::string text;
  for (const Report& report : reports) {
    text += report.text + "\n";
  }
  return text.empty() ? "no report" : text;
}

/// What goes wrong in one run.
std::vector<Report> reports_of(const Plant& plant, bool broken, Order order, std::uint64_t seed) {
  const WithConfig scope(quiet(order, seed));
  take_reports();
  plant.run(broken);
  static_cast<void>(cudaDeviceSynchronize());
  std::vector<Report> reports = take_reports();
  if (!broken) {
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  }
  reset_device();
  return reports;
}

bool contains_all(const std::string& text, const std::vector<std::string>& parts) {
  return std::all_of(parts.begin(), parts.end(),
                     [&](const std::string& part) { return text.find(part) != std::string::npos; });
}

void expect_report(const Plant& plant, const std::vector<Report>& reports) {
  std::vector<std::string> parts = plant.says;
  if (plant.marked) {
    parts.push_back(marked_line(plant.file, plant.name));
  }
  const auto fits = [&](const Report& r) { return contains_all(r.text, parts); };
  EXPECT_TRUE(std::any_of(reports.begin(), reports.end(), fits))
      << "expected " << plant.kinds.front() << " with " << ::testing::PrintToString(parts) << ", got\n"
      << text_of(reports);
  for (const Report& report : reports) {
    EXPECT_THAT(plant.kinds, ::testing::Contains(report.kind)) << report.text;
  }
}

class Planted : public ::testing::TestWithParam<Plant> {};

TEST_P(Planted, IsReported) {
  const Plant& plant = GetParam();
  for (const Order order : kOrders) {
    const std::vector<Report> reports = reports_of(plant, true, order, 3);
    if (check_build()) {
      expect_report(plant, reports);
    } else if (!plant.fast_kind.empty()) {
      EXPECT_THAT(reports, ::testing::Contains(::testing::Field(&Report::kind, plant.fast_kind))) << text_of(reports);
    }
  }
}

TEST_P(Planted, ItsTwinIsSilent) {
  constexpr std::uint64_t kSeeds = 20;
  for (const Order order : kOrders) {
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      const std::vector<Report> reports = reports_of(GetParam(), false, order, seed);
      EXPECT_TRUE(reports.empty()) << text_of(reports);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Mistakes, Planted, ::testing::ValuesIn(plants()),
                         [](const auto& plant) { return plant.param.name; });

}  // namespace

Plants::Plants(const char* file, std::initializer_list<Plant> own) {
  for (const Plant& plant : own) {
    plants().push_back(plant);
    plants().back().file = file;
  }
}

}  // namespace cudasim::testing
