#include "data/csv.h"

#include <gtest/gtest.h>

#include <sstream>

#include "kernels/error.h"

namespace earmark::data {
namespace {

using Rows = std::vector<std::vector<std::string>>;

Rows rows_of(const std::string& text, char separator = ',') {
  std::istringstream in(text);
  CsvReader reader(in, "test.csv", separator);
  Rows rows;
  std::vector<std::string> row;
  while (reader.next(row)) {
    rows.push_back(row);
  }
  return rows;
}

TEST(Csv, PlainAndQuotedFields) {
  EXPECT_EQ(rows_of("a,b\n1,\"x, \"\"y\"\"\nz\"\n"), (Rows{{"a", "b"}, {"1", "x, \"y\"\nz"}}));
}

TEST(Csv, EmptyFieldsLineEndsAndTheLastLine) {
  EXPECT_EQ(rows_of(",\r\n\"\",x"), (Rows{{"", ""}, {"", "x"}}));
  EXPECT_EQ(rows_of("a\n\nb\n"), (Rows{{"a"}, {""}, {"b"}}));
  EXPECT_EQ(rows_of(""), Rows{});
}

TEST(Csv, ByteOrderMarkAndOtherSeparators) {
  EXPECT_EQ(rows_of("\xEF\xBB\xBF"
                    "a;b,c\n",
                    ';'),
            (Rows{{"a", "b,c"}}));
}

TEST(Csv, QuotesInsideAFieldAreText) { EXPECT_EQ(rows_of("5\" disk,x\n"), (Rows{{"5\" disk", "x"}})); }

TEST(Csv, AnOpenQuoteIsAnErrorWithItsLine) {
  try {
    rows_of("a\nb\n\"open\nmore\n");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("test.csv: line 3"), std::string::npos) << error.what();
  }
}

TEST(Csv, LinesAreCountedThroughQuotedBreaks) {
  std::istringstream in("\"a\nb\"\nc\n");
  CsvReader reader(in, "x");
  std::vector<std::string> row;
  reader.next(row);
  EXPECT_EQ(reader.line(), 1);
  reader.next(row);
  EXPECT_EQ(reader.line(), 3);
}

TEST(Csv, WrittenFieldsAreReadBack) {
  const std::vector<std::string> fields = {"plain", "a,b", "say \"x\"", "two\nlines", ""};
  std::string line;
  for (const std::string& field : fields) {
    line.append(line.empty() ? "" : ",").append(csv_field(field));
  }
  EXPECT_EQ(rows_of(line + "\n"), Rows{fields});
}

}  // namespace
}  // namespace earmark::data
