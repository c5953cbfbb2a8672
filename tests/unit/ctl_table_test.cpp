// Tables for people: aligned, whole, and as wide as their terminal.
#include "ctl/table.h"

#include <gtest/gtest.h>

#include <sstream>

namespace chaos::ctl {
namespace {

std::string printed(const Table& table, const Table::Style& style) {
  std::ostringstream out;
  table.print(out, style);
  return out.str();
}

TEST(CtlTable, AlignsAndCutsNothing) {
  Table table({"ID", "名", "X"});
  table.add({{"01J8Z3Q4R5S6T7V8W9XAYBZCDE"}, {"ä"}, {"1"}});
  table.add({{"b"}, {"漢字"}, {"2"}});
  table.add({{"c"}});
  std::ostringstream out;
  table.print(out, {});
  EXPECT_EQ(out.str(),
            "ID                          名    X\n"
            "01J8Z3Q4R5S6T7V8W9XAYBZCDE  ä     1\n"
            "b                           漢字  2\n"
            "c\n");
}

TEST(CtlTable, PaintsOnlyWhenAsked) {
  Table table({"A"});
  table.add({{"x", Colour::kRed}});
  std::ostringstream plain;
  std::ostringstream painted;
  table.print(plain, {});
  table.print(painted, {.colour = true});
  EXPECT_EQ(plain.str(), "A\nx\n");
  EXPECT_EQ(painted.str(), "\x1b[1mA\x1b[0m\n\x1b[31mx\x1b[0m\n");
}

TEST(CtlTable, FoldsAtBlanks) {
  using Lines = std::vector<std::string>;
  EXPECT_EQ(fold("", 10), Lines{""});
  EXPECT_EQ(fold("one two three", 13), Lines{"one two three"});
  EXPECT_EQ(fold("one two three", 12), (Lines{"one two", "three"}));
  EXPECT_EQ(fold("one-word-that-is-longer than that", 8), (Lines{"one-word-that-is-longer", "than", "that"}));
  EXPECT_EQ(fold("漢字 漢字 漢字", 9), (Lines{"漢字 漢字", "漢字"}));
}

TEST(CtlTable, FitsItsTerminal) {
  Table table({"NAME", "WHY", "X"});
  table.add({{"fentry"}, {"the kernel of this host refuses it, and says no more than that"}, {"1", Colour::kRed}});
  table.add({{"tcx"}, {}, {"2"}});
  EXPECT_EQ(printed(table, {.columns = 40}),
            "NAME    WHY                            X\n"
            "fentry  the kernel of this host        1\n"
            "        refuses it, and says no more\n"
            "        than that\n"
            "tcx                                    2\n");
  EXPECT_EQ(printed(table, {.columns = 200}), printed(table, {})) << "there is room for all of it";
}

TEST(CtlTable, TheWidestColumnsGiveWayFirstAndNoneBecomesUnreadable) {
  Table table({"A", "B"});
  table.add({{"one two three four five six seven eight nine ten"}, {"some words that are not too many to read"}});
  EXPECT_EQ(printed(table, {.columns = 60, .indent = "  "}),
            "  A                             B\n"
            "  one two three four five six   some words that are not too\n"
            "  seven eight nine ten          many to read\n");
  EXPECT_EQ(printed(table, {.columns = 1}),
            "A                 B\n"
            "one two three     some words that\n"
            "four five six     are not too many\n"
            "seven eight nine  to read\n"
            "ten\n");
}

}  // namespace
}  // namespace chaos::ctl
