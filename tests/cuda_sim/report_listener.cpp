// Makes every test fail that the simulator has something to report about.
#include <gtest/gtest.h>

#include "cudasim/control.h"

namespace {

class ReportListener : public ::testing::EmptyTestEventListener {
  void OnTestStart(const ::testing::TestInfo& /*info*/) override { cudasim::take_reports(); }
  void OnTestEnd(const ::testing::TestInfo& /*info*/) override {
    cudasim::finish_all_devices();
    for (const cudasim::Report& report : cudasim::take_reports()) {
      ADD_FAILURE() << report.text;
    }
  }
};

const bool kListening = [] {
  ::testing::UnitTest::GetInstance()->listeners().Append(new ReportListener);
  return true;
}();

}  // namespace
