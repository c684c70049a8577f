// The report as its reader meets it: made by `reproduce`, opened in a browser without a window. report_checks.js looks
// at it from inside: tables against the figures that the page carries, charts, pictures, sounds, what the keyboard and
// a screen reader need. Skipped where there is no Chromium.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/composer.h"
#include "experiments/report.h"
#include "experiments/reproduce.h"
#include "nn/model.h"
#include "tests/program.h"

namespace earmark::experiments {
namespace {

using earmark::testing::bytes_of;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::Not;
using ::testing::SizeIs;

std::string browser() {
  for (const char* name : {"/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"}) {
    if (std::filesystem::exists(name)) {
      return name;
    }
  }
  return "";
}

class WholeReportPage : public ::testing::Test {
 protected:
  void SetUp() override {
    if (browser().empty()) {
      GTEST_SKIP() << "no chromium here (Debian's package chromium): the report was not opened in a browser";
    }
    data::compose_folder(folder_ / "music", {4, 8, 1, 16000, false});
    FeatureOptions features;
    features.normalization = FeatureOptions::Normalization::max_relative;
    nn::EncoderOptions encoder;
    encoder.width = 4;
    encoder.convolution_init = nn::ConvolutionInit::kaiming;
    encoder.attention_scale = nn::AttentionScale::area;
    encoder.attention_deviation = 0.1;
    std::filesystem::create_directory(folder_ / "run");
    nn::save_model(folder_ / "run" / "model.safetensors", nn::make_model(features, encoder));
    std::ofstream(folder_ / "run" / "config.yaml") << "train: {seed: 3}\n";
    std::ofstream log(folder_ / "run" / "log.csv");
    log << "step,loss,top1,validation_segment,validation_track\n1,4.5,0.1,,\n2,3,0.2,0.3,0.4\n3,2,0.5,0.5,0.6\n";
  }

  std::string make_page() {
    train::Config config = train::Config::parse(
        "reproduce: {excerpts: 4, rooms: 1, lsh_bits: 10, lengths_s: [0.96, 2], track_lengths_s: [1, 2], "
        "report_examples: 4}",
        "test.yaml", {"reproduce.database=" + (folder_ / "music").string()});
    const ReproduceOptions options = read_reproduce_options(config);
    ReproduceRequest request;
    request.model = folder_ / "run" / "model.safetensors";
    request.out = folder_ / "out";
    request.configuration = config.resolved();
    request.progress = false;
    reproduce(options, request, [](const std::string&) {});
    return bytes_of(request.out / "report.html");
  }

  // What report_checks.js found in the page; `said` is what the browser wrote about its console.
  nlohmann::json opened(std::string page, std::string& said) const {
    const std::string tests = std::string(EARMARK_SOURCE_DIR) + "/tests/experiments/";
    const std::string head = "<meta charset=\"utf-8\">";
    page.insert(page.find(head) + head.size(), "<script>" + bytes_of(tests + "report_watch.js") + "</script>");
    page.insert(page.rfind("</body>"), "<script>" + bytes_of(tests + "report_checks.js") + "</script>");
    std::ofstream(folder_ / "page.html") << page;
    const std::string command = browser() + " --headless --no-sandbox --disable-gpu --disable-dev-shm-usage" +
                                " --window-size=1280,900 --virtual-time-budget=20000 --enable-logging=stderr --v=0" +
                                " --user-data-dir=" + (folder_ / "profile").string() + " --dump-dom file://" +
                                (folder_ / "page.html").string() + " >" + (folder_ / "dom").string() + " 2>" +
                                (folder_ / "said").string();
    EXPECT_EQ(std::system(command.c_str()), 0);  // NOLINT(cert-env33-c)
    said = bytes_of(folder_ / "said");
    const std::string dom = bytes_of(folder_ / "dom");
    const std::string tag = "<pre id=\"findings\">";
    const std::size_t at = dom.rfind(tag);
    if (at == std::string::npos) {
      ADD_FAILURE() << "the checks did not end: " << said;
      return {};
    }
    const std::size_t begin = at + tag.size();
    std::string json = dom.substr(begin, dom.find("</pre>", begin) - begin);
    for (const auto& [entity, character] : {std::pair("&lt;", "<"), {"&gt;", ">"}, {"&amp;", "&"}}) {
      for (std::size_t i = json.find(entity); i != std::string::npos; i = json.find(entity, i + 1)) {
        json.replace(i, std::string(entity).size(), character);
      }
    }
    return nlohmann::json::parse(json);
  }

  earmark::testing::TemporaryFolder folder_;
};

TEST_F(WholeReportPage, ShowsItsFiguresAndComplainsOfNothing) {
  const std::string page = make_page();
  EXPECT_THAT(page.size(), Le(15U << 20U));
  std::string said;
  const nlohmann::json found = opened(page, said);
  EXPECT_THAT(said, Not(HasSubstr("CONSOLE"))) << "the console is empty";
  EXPECT_THAT(found["problems"].get<std::vector<std::string>>(), IsEmpty());
  EXPECT_EQ(found["places"], 4 * 2 * 5) << "four ways of searching, two lengths, clean and four SNRs";
  EXPECT_EQ(found["tracks"], 4 * 14);
  EXPECT_EQ(found["ours"], 2 * 4);
  EXPECT_THAT(found["winners"].get<int>(), Ge(4)) << "in each column against the paper's";
  EXPECT_THAT(found["phoneWidth"].get<int>(), Le(360));
  EXPECT_THAT(found["attention"].get<int>(), Ge(24)) << "12 modules, over the query and over what was played";
  EXPECT_THAT(found["pictures"].get<int>(), Ge(24 + 6));
  const auto seconds = found["seconds"].get<std::vector<double>>();
  EXPECT_THAT(seconds, SizeIs(Ge(6U)));
  EXPECT_THAT(seconds, Each(AllOf(Ge(1.8), Le(2.3))));
  const auto charts = found.value("charts", std::vector<std::string>{});
  EXPECT_EQ(charts.empty(), find_chart_library().empty());
  if (!charts.empty()) {
    EXPECT_THAT(charts,
                ::testing::IsSupersetOf({"chart-snr", "chart-length", "chart-loss", "chart-hits", "chart-votes-0"}));
  }
}

}  // namespace
}  // namespace earmark::experiments
