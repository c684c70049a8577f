#include "traffic.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <compare>
#include <cstdio>
#include <map>
#include <span>
#include <tuple>

#include "symbols.h"

namespace cudasim {

bool traffic_recorded = false;

namespace {

struct Key {
  const void* kernel;
  const void* pc;
  Space space;
  bool write;
  bool atomic;
  int width;
  auto operator<=>(const Key&) const = default;
};

struct Sum {
  std::uint64_t requests = 0;
  std::uint64_t transactions = 0;
  std::uint64_t least = 0;
};

using Request = std::vector<TrafficAccess>;  // one access for each lane that takes part

std::vector<std::vector<TrafficAccess>> warps;  // accesses of the running block, in the order of each lane
std::map<Key, Sum> sums;

template <class T>
std::size_t count_distinct(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  return static_cast<std::size_t>(std::unique(values.begin(), values.end()) - values.begin());
}

/// Global memory is fetched in sectors of 32 bytes.
void add_global(const Request& request, Sum& sum) {
  constexpr std::uintptr_t kSector = 32;
  std::vector<std::uintptr_t> sectors;
  std::vector<std::uintptr_t> places;
  for (const TrafficAccess& a : request) {
    places.push_back(a.address);
    for (std::uintptr_t s = a.address / kSector; s <= (a.address + a.width - 1) / kSector; ++s) {
      sectors.push_back(s);
    }
  }
  sum.transactions += count_distinct(sectors);
  sum.least += (count_distinct(places) * request.front().width + kSector - 1) / kSector;
}

/// Passes that lanes of one group need: how many different words the busiest of the 32 banks must deliver.
std::uint64_t passes(std::span<const TrafficAccess> lanes) {
  std::vector<std::uintptr_t> words;
  for (const TrafficAccess& a : lanes) {
    for (std::uintptr_t w = a.address / 4; w <= (a.address + a.width - 1) / 4; ++w) {
      words.push_back(w);
    }
  }
  words.resize(count_distinct(words));
  std::array<std::uint64_t, 32> per_bank{};
  for (const std::uintptr_t w : words) {
    ++per_bank[w % per_bank.size()];
  }
  return *std::max_element(per_bank.begin(), per_bank.end());
}

/// Shared memory serves 128 bytes a pass: a warp's 8-byte accesses go by halves, its 16-byte accesses by quarters.
void add_shared(const Request& request, Sum& sum) {
  const unsigned group = request.front().width >= 16 ? 8 : request.front().width == 8 ? 16 : 32;
  for (auto first = request.begin(); first != request.end();) {
    const auto last = std::find_if(first, request.end(),
                                   [&](const TrafficAccess& a) { return a.lane / group != first->lane / group; });
    sum.transactions += passes({first, last});
    ++sum.least;
    first = last;
  }
}

/// All accesses of one warp from one place: the lanes' k-th passages are one request.
void count_place(const void* kernel, std::span<const TrafficAccess> accesses) {
  const TrafficAccess& any = accesses.front();
  Sum& sum = sums[{kernel, any.pc, any.space, any.write, any.atomic, any.width}];
  std::vector<Request> requests;
  std::size_t turn = 0;
  for (std::size_t i = 0; i < accesses.size(); ++i) {
    turn = i > 0 && accesses[i].lane == accesses[i - 1].lane ? turn + 1 : 0;
    if (turn == requests.size()) {
      requests.emplace_back();
    }
    requests[turn].push_back(accesses[i]);
  }
  for (const Request& request : requests) {
    ++sum.requests;
    any.space == Space::global ? add_global(request, sum) : add_shared(request, sum);
  }
}

auto place_of(const TrafficAccess& a) { return std::tuple(a.pc, a.space, a.write, a.atomic, a.width); }

bool is_called(const std::string& kernel, std::string_view name) {
  return name.empty() || (kernel.starts_with(name) && (kernel.size() == name.size() || kernel[name.size()] == '<'));
}

/// Entries of one line that differ in their place in the code only, as loops unrolled by the compiler, become one.
void merge(std::vector<LineTraffic>& lines) {
  const auto key = [](const LineTraffic& l) { return std::tie(l.kernel, l.line, l.space, l.write, l.atomic, l.width); };
  std::sort(lines.begin(), lines.end(), [&](const LineTraffic& a, const LineTraffic& b) { return key(a) < key(b); });
  std::vector<LineTraffic> merged;
  for (LineTraffic& line : lines) {
    if (merged.empty() || key(merged.back()) != key(line)) {
      merged.push_back(std::move(line));
      continue;
    }
    merged.back().requests += line.requests;
    merged.back().transactions += line.transactions;
    merged.back().least += line.least;
  }
  lines = std::move(merged);
}

}  // namespace

void note_traffic(unsigned warp, const TrafficAccess& access) {
  if (warps.size() <= warp) {
    warps.resize(warp + 1);
  }
  warps[warp].push_back(access);
}

void count_traffic(const void* kernel) {
  for (auto& accesses : warps) {
    std::stable_sort(accesses.begin(), accesses.end(), [](const TrafficAccess& a, const TrafficAccess& b) {
      return std::tuple(place_of(a), a.lane) < std::tuple(place_of(b), b.lane);
    });
    for (auto first = accesses.begin(); first != accesses.end();) {
      const auto last =
          std::find_if(first, accesses.end(), [&](const TrafficAccess& a) { return place_of(a) != place_of(*first); });
      count_place(kernel, {first, last});
      first = last;
    }
    accesses.clear();
  }
}

void record_traffic(bool on) {
  cudaDeviceSynchronize();
  traffic_recorded = on;
  sums.clear();
}

std::vector<LineTraffic> traffic_of(std::string_view kernel) {
  cudaDeviceSynchronize();
  std::vector<LineTraffic> lines;
  for (const auto& [key, sum] : sums) {
    const std::string& name = kernel_name(key.kernel).text;
    if (is_called(name, kernel)) {
      lines.push_back({name, line_of(key.pc), key.space, key.write, key.atomic, key.width, sum.requests,
                       sum.transactions, sum.least});
    }
  }
  merge(lines);
  return lines;
}

std::string traffic_table(std::string_view kernel) {
  std::array<char, 300> row{};
  std::string table;
  const auto add = [&](auto... values) {
    std::snprintf(row.data(), row.size(), values...);
    table += row.data();
  };
  add("%-40s %-28s %-6s %-6s %5s %10s %11s %6s\n", "kernel", "line", "space", "op", "bytes", "requests", "per request",
      "waste");
  for (const LineTraffic& l : traffic_of(kernel)) {
    add("%-40s %-28s %-6s %-6s %5d %10llu %11.2f %6.2f%s\n", l.kernel.c_str(), l.line.c_str(),
        l.space == Space::global ? "global" : "shared",
        l.atomic  ? "atomic"
        : l.write ? "store"
                  : "load",
        l.width, static_cast<unsigned long long>(l.requests), l.per_request(), l.waste(),
        l.waste() > 1.5 ? "  <--" : "");
  }
  return table;
}

}  // namespace cudasim
