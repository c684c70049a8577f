#include "experiments/protocol.h"

#include <cmath>

#include "kernels/error.h"

namespace earmark::experiments {
namespace {

using data::DistortionKind;

}  // namespace

bool same_number(double a, double b) { return std::abs(a - b) < 1e-9; }

std::string Condition::name() const {
  switch (kind) {
    case DistortionKind::none:
      return "clean";
    case DistortionKind::noise:
      return "noise";
    case DistortionKind::reverb:
      return "reverb";
    case DistortionKind::noise_reverb:
      return "noise+reverb";
  }
  return "?";
}

std::string Condition::label() const {
  std::string out = name();
  if (snr_db) {
    out += str("-snr", *snr_db);
  }
  if (rt60_s) {
    out += str("-rt", *rt60_s);
  }
  return out;
}

std::vector<Condition> protocol_conditions() {
  std::vector<Condition> out = {{DistortionKind::none, {}, {}}};
  for (const double snr : kSnrsDb) {
    out.push_back({DistortionKind::noise, snr, {}});
  }
  for (const double snr : kSnrsDb) {
    out.push_back({DistortionKind::noise_reverb, snr, kTableRt60S});
  }
  for (const double rt60 : kRt60sS) {
    out.push_back({DistortionKind::reverb, {}, rt60});
  }
  return out;
}

std::optional<double> paper_drr_db(double rt60_s) {
  constexpr std::array kDrrDb = {3.8, 4.8, -3.2, 3.0, -5.4};
  for (std::size_t i = 0; i < kRt60sS.size(); ++i) {
    if (same_number(kRt60sS.at(i), rt60_s)) {
      return kDrrDb.at(i);
    }
  }
  return {};
}

std::vector<PaperRow> paper_table_1(double length_s) {
  struct Figures {
    double length_s;
    std::vector<double> attention, nafp;
  };
  static const std::array<Figures, 4> kFigures = {{
      {0.96, {60.3, 76.6, 81.3, 82.8}, {27.3, 58.7, 70.7, 73.9}},
      {2, {66.4, 83.5, 86.9, 88.0}, {39.0, 69.6, 76.5, 78.7}},
      {3, {67.9, 85.1, 88.2, 89.3}, {47.1, 75.2, 80.2, 81.4}},
      {5, {69.5, 87.1, 90.5, 91.9}, {54.7, 77.3, 81.8, 82.8}},
  }};
  for (const Figures& figures : kFigures) {
    if (same_number(figures.length_s, length_s)) {
      return {{"paper: attention encoder", figures.attention}, {"paper: NAFP", figures.nafp}};
    }
  }
  return {};
}

std::vector<PaperRow> paper_table_2(DistortionKind kind) {
  const std::string ours = "paper: attention encoder";
  const std::string audfprint = "paper: audfprint";
  switch (kind) {
    case DistortionKind::noise:
      return {{ours, {95.0, 98.7, 98.9, 99.2}}, {audfprint, {72.1, 82.7, 89.4, 91.2}}};
    case DistortionKind::noise_reverb:
      return {{ours, {84.3, 96.8, 98.5, 98.9}}, {audfprint, {64.8, 79.4, 87.2, 92.3}}};
    case DistortionKind::reverb:
      return {{ours, {99.2, 99.5, 98.9, 99.6, 98.7}}, {audfprint, {96.1, 94.6, 81.8, 89.6, 40.2}}};
    case DistortionKind::none:
      return {};
  }
  return {};
}

}  // namespace earmark::experiments
