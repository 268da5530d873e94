// SPDX-License-Identifier: Apache-2.0
#include "text/line_reader.hpp"

#include <sys/stat.h>

#include "base/error.hpp"
#include "tests/text/text_file.hpp"

namespace polyphase::text {
namespace {

std::vector<std::string> lines_of(const FilePart& part) {
  LineReader reader(part);
  std::vector<std::string> lines;
  for (std::string_view line; reader.next(line);) lines.emplace_back(line);
  return lines;
}

std::string fault_in(std::string_view text) {
  const TestFolder folder;
  const std::string path = folder.write("t.txt", text);
  const std::string fault = fault_of<DataError>([&] { lines_of({path}); });
  return fault.substr(fault.rfind("t.txt"));
}

TEST(LineReader, GivesLinesWithOrWithoutCarriageReturnAndLastEnd) {
  const TestFolder folder;
  EXPECT_EQ(lines_of({folder.write("a", "one\r\n\ntwo")}),
            (std::vector<std::string>{"one", "", "two"}));
  EXPECT_EQ(lines_of({folder.write("b", "\xEF\xBB\xBFone\ntwo\n")}),
            (std::vector<std::string>{"one", "two"}));
}

TEST(LineReader, CountsLinesAndBytesInAPartOfAFile) {
  const TestFolder folder;
  LineReader reader({folder.write("a", "one\r\ntwo\nthree\n"), 5, 9, 2});
  std::string_view line;
  ASSERT_TRUE(reader.next(line));
  EXPECT_EQ(line, "two");
  EXPECT_EQ(reader.line_number(), 2);
  EXPECT_EQ(reader.offset(), 9);
  EXPECT_FALSE(reader.next(line));
}

TEST(LineReader, ReadsMoreThanItsBufferAndDigestsEveryByte) {
  const TestFolder folder;
  std::string text;
  for (int i = 0; i < 400000; ++i) text += fmt::format("line {}\n", i);
  const std::string path = folder.write("a", text);
  StreamingDigest bytes;
  LineReader reader({path}, &bytes);
  std::int64_t count = 0;
  for (std::string_view line; reader.next(line); ++count) {
    ASSERT_EQ(line, fmt::format("line {}", count));
  }
  EXPECT_EQ(count, 400000);
  EXPECT_EQ(bytes.value(), digest(text));
}

TEST(LineReader, NamesTheLineOfEveryFault) {
  EXPECT_MENTIONS(fault_in("good\nb\xFFto\n"), "t.txt:2: byte 0xFF at column 2 is not UTF-8");
  EXPECT_MENTIONS(fault_in("good\nbad \xC3"), "t.txt:2: byte 0xC3 at column 5");
  EXPECT_MENTIONS(fault_in(std::string_view("a\nb\nc\0d\n", 8)), "t.txt:3: NUL byte at column 2");
  EXPECT_MENTIONS(fault_in("a\n" + std::string(kMaxLineBytes + 1, 'x') + "\n"), "t.txt:2: line of");
  EXPECT_MENTIONS(fault_in(""), "t.txt: is empty");
}

TEST(LineReader, TakesALineOfExactlyTheLimit) {
  const TestFolder folder;
  const std::string longest(kMaxLineBytes, 'x');
  EXPECT_EQ(lines_of({folder.write("a", "b\n" + longest + "\nc")}),
            (std::vector<std::string>{"b", longest, "c"}));
}

TEST(LineReader, RefusesWhatIsNoReadableFile) {
  const TestFolder folder;
  EXPECT_MENTIONS(fault_of<DataError>([&] { lines_of({folder.path("none")}); }),
                  "none: cannot be opened: No such file");
  EXPECT_MENTIONS(fault_of<DataError>([&] { lines_of({folder.path("")}); }), "is a folder");
  const std::string path = folder.write("a", "one\n");
  EXPECT_MENTIONS(fault_of<DataError>([&] { lines_of({path, 0, 40}); }), "changed while");
}

TEST(LineReader, AcceptsExactlyWellFormedUtf8) {
  for (const char* good : {"plain", "\xC2\x80", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEF\xBF\xBF",
                           "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF",
                           "12345678\xC3\xA9"
                           "12345678"}) {
    EXPECT_EQ(valid_utf8_prefix(good), std::strlen(good)) << good;
  }
  // Lone continuation, overlong forms, surrogate, above U+10FFFF, cut off.
  for (const char* bad : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80",
                          "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82"}) {
    EXPECT_EQ(valid_utf8_prefix("12345678" + std::string(bad)), 8U) << bad;
  }
  EXPECT_EQ(valid_utf8_prefix(std::string_view("1234567\0"
                                               "9",
                                               9)),
            7U);
}

}  // namespace
}  // namespace polyphase::text
