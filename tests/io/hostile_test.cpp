// SPDX-License-Identifier: Apache-2.0
// Files that a stranger might hand over, made with HDF5 itself. Each is a sound shard but for one
// thing.
#include <hdf5.h>

#include <array>
#include <functional>

#include "base/error.hpp"
#include "io/shard.hpp"
#include "scratch_folder.hpp"

namespace polyphase {
namespace {

constexpr hsize_t kTokens = 40;

hid_t text_type(const std::string& text) {
  const hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, text.size() + 1);
  return type;
}

void put_text(hid_t file, const char* name, const std::string& text) {
  const hid_t type = text_type(text);
  const hid_t scalar = H5Screate(H5S_SCALAR);
  const hid_t attribute = H5Acreate2(file, name, type, scalar, H5P_DEFAULT, H5P_DEFAULT);
  ASSERT_GE(H5Awrite(attribute, type, text.c_str()), 0);
  H5Aclose(attribute);
  H5Sclose(scalar);
  H5Tclose(type);
}

void put_number(hid_t file, const char* name, std::int64_t number) {
  const hid_t scalar = H5Screate(H5S_SCALAR);
  const hid_t attribute = H5Acreate2(file, name, H5T_STD_I64LE, scalar, H5P_DEFAULT, H5P_DEFAULT);
  ASSERT_GE(H5Awrite(attribute, H5T_NATIVE_INT64, &number), 0);
  H5Aclose(attribute);
  H5Sclose(scalar);
}

void put_dataset(hid_t file, const char* name, hid_t type, hsize_t count, const void* data,
                 hid_t creation = H5P_DEFAULT) {
  const hid_t space = H5Screate_simple(1, &count, nullptr);
  const hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  ASSERT_GE(dataset, 0) << name;
  if (data != nullptr) {
    ASSERT_GE(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), 0);
  }
  H5Dclose(dataset);
  H5Sclose(space);
}

void put_tokens(hid_t file) {
  const std::vector<std::uint16_t> tokens(kTokens, 7);
  put_dataset(file, "tokens", H5T_STD_U16LE, kTokens, tokens.data());
}

struct Declared {
  std::string format = "polyphase shard";
  std::int64_t version = kShardFormatVersion;
  std::int64_t num_tokens = kTokens;
};

// A shard of one document of one sentence, whose tokens (and whatever else) `make` puts into the
// file.
void make_shard(const std::filesystem::path& path, const std::function<void(hid_t)>& make,
                const Declared& declared = {}) {
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  put_text(file, "format", declared.format);
  for (const char* name : {"corpus", "split", "tokenizer_digest", "source_digest"}) {
    put_text(file, name, "x");
  }
  put_number(file, "version", declared.version);
  put_number(file, "vocab_size", 100);
  put_number(file, "num_documents", 1);
  put_number(file, "num_sentences", 1);
  put_number(file, "num_tokens", declared.num_tokens);
  const std::int64_t sentences[2] = {0, declared.num_tokens};
  const std::int64_t documents[2] = {0, 1};
  put_dataset(file, "sentence_starts", H5T_STD_I64LE, 2, sentences);
  put_dataset(file, "document_starts", H5T_STD_I64LE, 2, documents);
  make(file);
  ASSERT_GE(H5Fclose(file), 0);
}

std::string refusal_of(const std::filesystem::path& path) {
  return message_of<DataError>([&] { ShardReader reader(path); });
}

TEST(HostileFile, TheSoundOneOfThemIsRead) {
  const ScratchFolder folder;
  make_shard(folder / "s.h5", put_tokens);
  ShardReader reader(folder / "s.h5");
  ShardText text;
  reader.read_document(0, text);
  EXPECT_EQ(text.tokens, std::vector<std::int32_t>(kTokens, 7));
}

// HDF5 itself ended the process on some of these.
TEST(HostileFile, AnyByteOfAShardMayBeAnother) {
  const ScratchFolder folder;
  make_shard(folder / "s.h5", put_tokens);
  const std::string sound = bytes_of(folder / "s.h5");
  int num_refused = 0;
  for (std::size_t i = 0; i < sound.size(); ++i) {
    if (sound[i] == 0 && i % 8 != 0) continue;  // most of them are room that nothing uses
    std::string bytes = sound;
    bytes[i] = static_cast<char>(bytes[i] ^ std::array{0x01, 0x80, 0xFF}[i % 3]);
    put_bytes(folder / "t.h5", bytes);
    try {
      ShardReader reader(folder / "t.h5");
      ShardText text;
      reader.read_document(0, text);
    } catch (const DataError& error) {
      ++num_refused;
      EXPECT_TRUE(contains(error.what(), (folder / "t.h5").string())) << error.what();
    }
  }
  EXPECT_GT(num_refused, 200);
}

TEST(HostileFile, PartsThatLeadToEachOtherAreRefused) {
  const ScratchFolder folder;
  make_shard(folder / "s.h5", put_tokens);
  std::string bytes = bytes_of(folder / "s.h5");
  const std::size_t links = bytes.find("SNOD");
  ASSERT_NE(links, std::string::npos);
  // The second object is the first one once more.
  bytes.replace(links + 8 + 40 + 8, 8, bytes.substr(links + 8 + 8, 8));
  put_bytes(folder / "t.h5", bytes);
  EXPECT_TRUE(contains(refusal_of(folder / "t.h5"), "more than one name"));
}

TEST(HostileFile, OldReaderRefusesNewFormat) {
  const ScratchFolder folder;
  Declared declared;
  declared.version = kShardFormatVersion + 1;
  make_shard(
      folder / "s.h5",
      [](hid_t file) {
        put_tokens(file);
        put_dataset(file, "token_weights", H5T_IEEE_F32LE, 1, std::vector<float>{1}.data());
      },
      declared);
  const std::string message = refusal_of(folder / "s.h5");
  EXPECT_TRUE(contains(message, "version 3, where this program reads version 2")) << message;
}

TEST(HostileFile, AShardOfAnEarlierFormatIsRefusedWithARemedy) {
  const ScratchFolder folder;
  Declared declared;
  declared.version = 1;
  make_shard(folder / "s.h5", put_tokens, declared);
  const std::string message = refusal_of(folder / "s.h5");
  EXPECT_TRUE(contains(message, "version 1, where this program reads version 2")) << message;
  EXPECT_TRUE(contains(message, "prepare the corpus again")) << message;
}

TEST(HostileFile, AnotherFormatIsNamed) {
  const ScratchFolder folder;
  Declared declared;
  declared.format = "weights";
  make_shard(folder / "s.h5", put_tokens, declared);
  EXPECT_TRUE(contains(refusal_of(folder / "s.h5"), "\"weights\""));
}

TEST(HostileFile, TwoKilobytesThatDeclareATebibyteAreRefused) {
  const ScratchFolder folder;
  Declared declared;
  declared.num_tokens = std::int64_t{1} << 39;
  make_shard(
      folder / "s.h5",
      [&](hid_t file) {
        put_dataset(file, "tokens", H5T_STD_U16LE, static_cast<hsize_t>(declared.num_tokens),
                    nullptr);
      },
      declared);
  ASSERT_LT(std::filesystem::file_size(folder / "s.h5"), 20000U);
  EXPECT_TRUE(contains(refusal_of(folder / "s.h5"), "declares more"));
}

TEST(HostileFile, DataThatWereNeverWrittenAreRefused) {
  const ScratchFolder folder;
  make_shard(folder / "s.h5",
             [](hid_t file) { put_dataset(file, "tokens", H5T_STD_U16LE, kTokens, nullptr); });
  EXPECT_TRUE(contains(refusal_of(folder / "s.h5"), "not in the file"));
}

TEST(HostileFile, ExternalStorageIsRefused) {
  const ScratchFolder folder;
  put_bytes(folder / "secret", std::string(200, 'x'));
  make_shard(folder / "s.h5", [&](hid_t file) {
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(creation, (folder / "secret").c_str(), 0, kTokens * 2);
    put_dataset(file, "tokens", H5T_STD_U16LE, kTokens, nullptr, creation);
    H5Pclose(creation);
  });
  EXPECT_TRUE(contains(refusal_of(folder / "s.h5"), "in another file"));
}

TEST(HostileFile, ExternalAndSoftLinksAreRefused) {
  const ScratchFolder folder;
  make_shard(folder / "other.h5", put_tokens);
  make_shard(folder / "external.h5", [&](hid_t file) {
    H5Lcreate_external((folder / "other.h5").c_str(), "/tokens", file, "tokens", H5P_DEFAULT,
                       H5P_DEFAULT);
  });
  make_shard(folder / "soft.h5", [](hid_t file) {
    H5Lcreate_soft("/sentence_starts", file, "tokens", H5P_DEFAULT, H5P_DEFAULT);
  });
  EXPECT_TRUE(contains(refusal_of(folder / "external.h5"), "soft or external link"));
  EXPECT_TRUE(contains(refusal_of(folder / "soft.h5"), "soft or external link"));
}

TEST(HostileFile, SecondNamesAndLoopsAreRefused) {
  const ScratchFolder folder;
  make_shard(folder / "twice.h5", [](hid_t file) {
    put_tokens(file);
    H5Lcreate_hard(file, "tokens", file, "token_labels", H5P_DEFAULT, H5P_DEFAULT);
  });
  make_shard(folder / "loop.h5", [](hid_t file) {
    put_tokens(file);
    const hid_t group = H5Gcreate2(file, "group", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file, "group", group, "again", H5P_DEFAULT, H5P_DEFAULT);
    H5Gclose(group);
  });
  EXPECT_TRUE(contains(refusal_of(folder / "twice.h5"), "more than one name"));
  EXPECT_TRUE(contains(refusal_of(folder / "loop.h5"), "more than one name"));
}

TEST(HostileFile, FiltersChunksAndVirtualLayoutsAreRefused) {
  const ScratchFolder folder;
  make_shard(folder / "other.h5", put_tokens);
  make_shard(folder / "filter.h5", [](hid_t file) {
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk = 10;
    H5Pset_chunk(creation, 1, &chunk);
    H5Pset_deflate(creation, 9);
    const std::vector<std::uint16_t> tokens(kTokens, 7);
    put_dataset(file, "tokens", H5T_STD_U16LE, kTokens, tokens.data(), creation);
    H5Pclose(creation);
  });
  make_shard(folder / "virtual.h5", [&](hid_t file) {
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    const hid_t space = H5Screate_simple(1, &kTokens, nullptr);
    H5Pset_virtual(creation, space, (folder / "other.h5").c_str(), "/tokens", space);
    put_dataset(file, "tokens", H5T_STD_U16LE, kTokens, nullptr, creation);
    H5Sclose(space);
    H5Pclose(creation);
  });
  EXPECT_TRUE(contains(refusal_of(folder / "filter.h5"), "not laid out contiguously"));
  EXPECT_TRUE(contains(refusal_of(folder / "virtual.h5"), "not laid out contiguously"));
}

TEST(HostileFile, OtherTypesAreRefused) {
  const ScratchFolder folder;
  const std::vector<std::uint64_t> zeros(4 * kTokens, 0);
  const hid_t variable = H5Tcopy(H5T_C_S1);
  H5Tset_size(variable, H5T_VARIABLE);
  for (const hid_t type :
       {variable, H5T_STD_REF_OBJ, H5T_STD_U16BE, H5T_IEEE_F64LE, H5T_STD_B16LE}) {
    make_shard(folder / "s.h5", [&](hid_t file) {
      put_dataset(file, "tokens", type, kTokens, type == variable ? nullptr : zeros.data());
    });
    EXPECT_TRUE(contains(refusal_of(folder / "s.h5"), "type other than"));
  }
  H5Tclose(variable);
}

TEST(HostileFile, VariableLengthTextsInAttributesAreRefused) {
  const ScratchFolder folder;
  make_shard(folder / "s.h5", [](hid_t file) {
    put_tokens(file);
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    const hid_t scalar = H5Screate(H5S_SCALAR);
    const hid_t attribute = H5Acreate2(file, "note", type, scalar, H5P_DEFAULT, H5P_DEFAULT);
    const char* text = "hello";
    H5Awrite(attribute, type, &text);
    H5Aclose(attribute);
    H5Sclose(scalar);
    H5Tclose(type);
  });
  EXPECT_TRUE(contains(refusal_of(folder / "s.h5"), "fixed-length text"));
}

TEST(HostileFile, OddNamesForeignDatasetsAndMissingOnesAreRefused) {
  const ScratchFolder folder;
  const std::vector<std::uint16_t> tokens(kTokens, 7);
  make_shard(folder / "odd.h5", [&](hid_t file) {
    put_dataset(file, "to kens;", H5T_STD_U16LE, kTokens, tokens.data());
  });
  make_shard(folder / "foreign.h5", [&](hid_t file) {
    put_tokens(file);
    put_dataset(file, "extra", H5T_STD_U16LE, kTokens, tokens.data());
  });
  make_shard(folder / "missing.h5", [](hid_t) {});
  make_shard(folder / "short.h5", [&](hid_t file) {
    put_dataset(file, "tokens", H5T_STD_U16LE, kTokens - 1, tokens.data());
  });
  EXPECT_TRUE(contains(refusal_of(folder / "odd.h5"), "not allowed"));
  EXPECT_TRUE(contains(refusal_of(folder / "foreign.h5"), "does not belong"));
  EXPECT_TRUE(contains(refusal_of(folder / "missing.h5"), "/tokens is not the list"));
  EXPECT_TRUE(contains(refusal_of(folder / "short.h5"), "/tokens is not the list"));
}

TEST(HostileFile, LabelsThatBelongToNoDocumentAreRefused) {
  const ScratchFolder folder;
  const std::vector<std::int32_t> labels = {4, 5};
  const std::vector<std::int64_t> starts = {0, 3};
  make_shard(folder / "alone.h5", [&](hid_t file) {
    put_tokens(file);
    put_dataset(file, "labels", H5T_STD_I32LE, 2, labels.data());
  });
  EXPECT_TRUE(contains(refusal_of(folder / "alone.h5"), "/labels is not the list"));
  make_shard(folder / "behind.h5", [&](hid_t file) {
    put_tokens(file);
    put_dataset(file, "label_starts", H5T_STD_I64LE, 2, starts.data());
    put_dataset(file, "labels", H5T_STD_I32LE, 2, labels.data());
  });
  ShardReader reader(folder / "behind.h5");
  ShardText text;
  const std::string message = message_of<DataError>([&] { reader.read_document(0, text); });
  EXPECT_TRUE(contains(message, "label starts do not rise from 0 to 2")) << message;
}

}  // namespace
}  // namespace polyphase
