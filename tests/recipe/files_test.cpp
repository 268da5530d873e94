// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/recipe/good_recipe.hpp"

namespace polyphase::recipe {
namespace {

namespace fs = std::filesystem;

class RecipeFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("polyphase-recipe-files-" + std::to_string(getpid()));
    fs::create_directories(folder_);
    write("r.yaml", kGoodRecipe);
    for (const char* name : {"a.txt", "b.txt", "t.conll", "v.conll", "t.tsv", "v.tsv", "x.tsv"}) {
      write(name, "text\n");
    }
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::string file_faults(const std::vector<std::string>& overrides = {}) const {
    try {
      check_files(load(path("r.yaml"), overrides));
    } catch (const RecipeError& error) {
      return error.what();
    }
    return "";
  }
  std::string load_faults(const std::string& file) const {
    try {
      load(path(file));
    } catch (const RecipeError& error) {
      return error.what();
    }
    return "";
  }

  fs::path folder_;
};

TEST_F(RecipeFiles, AreLookedForInTheRecipesFolder) { EXPECT_EQ(file_faults(), ""); }

TEST_F(RecipeFiles, AllMissingOnesAreListedWithTheirPlaces) {
  fs::remove(path("b.txt"));
  fs::remove(path("t.tsv"));
  EXPECT_EQ(file_faults({"corpora.tags.valid=sub/w.conll"}),
            path("r.yaml") + ":6:37: corpora.text.files[1]: no file \"b.txt\" in " +
                folder_.string() +
                "\n--set corpora.tags.valid: corpora.tags.valid[0]: no file \"w.conll\" in " +
                path("sub") + "\n" + path("r.yaml") +
                ":8:41: corpora.topics.train[0]: no file \"t.tsv\" in " + folder_.string());
}

TEST_F(RecipeFiles, FoldersAreNoFiles) {
  EXPECT_EQ(file_faults({"corpora.tags.valid=."}),
            "--set corpora.tags.valid: corpora.tags.valid[0]: " + folder_.string() +
                "/ is not a regular file");
}

TEST_F(RecipeFiles, VariablesAreReplaced) {
  ASSERT_EQ(setenv("POLYPHASE_TEST_FOLDER", folder_.c_str(), 1), 0);
  EXPECT_EQ(file_faults({"corpora.tags.valid=${POLYPHASE_TEST_FOLDER}/v.conll"}), "");
  const Recipe recipe = load(path("r.yaml"));
  EXPECT_EQ(absolute_path(recipe, "${POLYPHASE_TEST_FOLDER}/../x"),
            (folder_.parent_path() / "x").string());
  ASSERT_EQ(unsetenv("POLYPHASE_TEST_FOLDER"), 0);
  EXPECT_EQ(file_faults({"corpora.tags.valid=${POLYPHASE_TEST_FOLDER}/v.conll"}),
            "--set corpora.tags.valid: corpora.tags.valid[0]: the environment variable "
            "POLYPHASE_TEST_FOLDER of the path \"${POLYPHASE_TEST_FOLDER}/v.conll\" is not set");
}

TEST_F(RecipeFiles, ResolveMakesEveryPathAbsolute) {
  Recipe recipe = load(path("r.yaml"));
  resolve(recipe);
  EXPECT_EQ(recipe.corpora[0].files, (std::vector<std::string>{path("a.txt"), path("b.txt")}));
  EXPECT_EQ(recipe.corpora[2].train, std::vector<std::string>{path("t.tsv")});
  EXPECT_EQ(recipe.corpora[2].test, std::vector<std::string>{path("x.tsv")});
}

TEST_F(RecipeFiles, MissingRecipeIsToldWhereItWasLookedFor) {
  EXPECT_EQ(load_faults("none.yaml"),
            path("none.yaml") + ": no such recipe file (looked in " + folder_.string() + ")");
}

TEST_F(RecipeFiles, FoldersPipesAndHugeFilesAreNoRecipes) {
  EXPECT_NE(load_faults(".").find("is a folder; expected a recipe file"), std::string::npos);
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_NE(load_faults("pipe").find("is not a regular file"), std::string::npos);
  write("huge.yaml", "");
  fs::resize_file(path("huge.yaml"), std::uintmax_t{1} << 40);
  EXPECT_NE(load_faults("huge.yaml").find("a recipe has at most 1048576 bytes"), std::string::npos);
}

}  // namespace
}  // namespace polyphase::recipe
