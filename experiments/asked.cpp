#include "experiments/asked.h"

#include <algorithm>
#include <iterator>

#include "experiments/table.h"

namespace earmark::experiments {
namespace {

using data::DistortionKind;

bool equals(const std::optional<double>& a, double b) { return a && same_number(*a, b); }

}  // namespace

bool Asked::operator()(const Query& query) const {
  return query.condition == condition && (!snr_db || equals(query.snr_db, *snr_db)) &&
         (!rt60_s || equals(query.rt60_s, *rt60_s));
}

std::vector<Asked> asked_of(DistortionKind kind) {
  const std::string name = Condition{kind, {}, {}}.name();
  std::vector<Asked> out;
  if (kind == DistortionKind::none) {
    out.push_back({"clean", name, {}, {}});
  } else if (kind == DistortionKind::reverb) {
    for (const double rt60 : kRt60sS) {
      out.push_back({fixed(rt60, 1) + " s", name, {}, rt60});
    }
  } else {
    for (const double snr : kSnrsDb) {
      out.push_back({fixed(snr, 0) + " dB", name, snr, {}});
    }
  }
  return out;
}

const char* title_of(DistortionKind kind) {
  switch (kind) {
    case DistortionKind::none:
      return "undistorted";
    case DistortionKind::noise:
      return "noise";
    case DistortionKind::noise_reverb:
      return "noise + reverb";
    case DistortionKind::reverb:
      return "reverb, RT60";
  }
  return "?";
}

QuerySet queries_with(const QuerySet& set, DistortionKind kind) {
  const std::string name = Condition{kind, {}, {}}.name();
  QuerySet out{set.folder, {}};
  std::copy_if(set.queries.begin(), set.queries.end(), std::back_inserter(out.queries),
               [&](const Query& query) { return query.condition == name; });
  return out;
}

bool any_query(const QuerySet& set, DistortionKind kind) {
  const std::string name = Condition{kind, {}, {}}.name();
  return std::any_of(set.queries.begin(), set.queries.end(), [&](const Query& q) { return q.condition == name; });
}

}  // namespace earmark::experiments
