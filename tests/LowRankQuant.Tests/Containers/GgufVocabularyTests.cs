using System.Text.Json.Nodes;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Containers;

/// <summary>What a GGUF vocabulary cannot hold is refused by name or, where asked for, left out with a warning, and found by verify.</summary>
public class GgufVocabularyTests
{
    private const string Lowercase = """{"type": "Lowercase"}""";

    [Theory]
    [InlineData("normalizer", Lowercase, "normalizer Lowercase")]
    [InlineData("normalizer", """{"type": "NFD"}""", "normalizer NFD")]
    [InlineData("normalizer", """{"type": "NFC"}""", "normalizer NFC")]
    [InlineData("normalizer", """{"type": "StripAccents"}""", "normalizer StripAccents")]
    [InlineData("normalizer", """{"type": "Replace", "pattern": {"String": "a"}, "content": "b"}""", "normalizer Replace (\"a\" by \"b\")")]
    [InlineData("normalizer", """{"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers": [{"type": "Strip"}]}]}""", "normalizer Strip")]
    [InlineData("pre_tokenizer", """{"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}]}""", "pre_tokenizer")]
    [InlineData("pre_tokenizer", """{"type": "ByteLevel", "add_prefix_space": true, "use_regex": true}""", "pre_tokenizer")]
    [InlineData("post_processor", """{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "special_tokens": {"x": {"id": "x", "ids": [5, 6], "tokens": ["x", "y"]}}}""", "post_processor (ids 5, 6 in front of a text)")]
    public async Task WhatHasNoPlaceIsRefusedOrLeftOutWithAWarning(string part, string json, string named)
    {
        using var folder = new TemporaryFolder();
        string model = DemoCopy.Create(folder, "model"), file = folder.File("m.gguf");
        DemoCopy.Edit(model, "tokenizer.json", tokenizer => tokenizer[part] = JsonNode.Parse(json));
        CliResult refused = await Lrq.Run("convert", model, "--to", "gguf", "--out", file);
        Assert.Equal(2, refused.Code);
        Assert.Contains($"error: gguf: tokenizer: a GGUF vocabulary has no place for {named}", refused.Error, StringComparison.Ordinal);
        Assert.Contains("give --lossy-vocabulary to leave it out", refused.Error, StringComparison.Ordinal);
        Assert.False(File.Exists(file));
        CliResult written = await Lrq.Run("convert", model, "--to", "gguf", "--lossy-vocabulary", "--out", file, "--json");
        Assert.True(written.Code == 0, written.Error);
        Assert.Contains(JsonNode.Parse(written.Out)!["warnings"]!.AsArray(), warning => warning!.ToString().Contains(named, StringComparison.Ordinal));
        CliResult verified = await Lrq.Run("verify", file, "--against", model);
        Assert.Equal(1, verified.Code);
        Assert.Contains("different: tokenizer: ", verified.Out, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("lstrip")]
    [InlineData("rstrip")]
    [InlineData("single_word")]
    public async Task FlagsOfAddedTokensHaveNoPlaceEither(string flag)
    {
        using var folder = new TemporaryFolder();
        string model = DemoCopy.Create(folder, "model"), file = folder.File("m.gguf");
        DemoCopy.Edit(model, "tokenizer.json", tokenizer => tokenizer["added_tokens"]![0]![flag] = true);
        CliResult refused = await Lrq.Run("convert", model, "--to", "gguf", "--out", file);
        Assert.Equal(2, refused.Code);
        Assert.Contains($"{flag} of \"<|endoftext|>\"", refused.Error, StringComparison.Ordinal);
        Assert.Equal(0, (await Lrq.Run("convert", model, "--to", "gguf", "--lossy-vocabulary", "--out", file)).Code);
        CliResult verified = await Lrq.Run("verify", file, "--against", model);
        Assert.Equal(1, verified.Code);
        Assert.Contains("different: tokenizer: added token \"<|endoftext|>\": text ", verified.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ANormalizerLostByAnotherConverterIsFound()
    {
        using var folder = new TemporaryFolder();
        string plain = await GgufEdit.Demo(folder), model = DemoCopy.Create(folder, "model");
        DemoCopy.Edit(model, "tokenizer.json", tokenizer => tokenizer["normalizer"] = JsonNode.Parse(Lowercase));
        CliResult verified = await Lrq.Run("verify", plain, "--against", model, "--json");
        Assert.Equal(1, verified.Code);
        JsonNode report = JsonNode.Parse(verified.Out)!;
        Assert.Contains(report["differences"]!.AsArray(), difference => difference!["tensor"]!.ToString() == "tokenizer");
        Assert.InRange((int)report["texts"]!, 300, 2000);
        CliResult same = await Lrq.Run("verify", plain, "--against", TestData.Demo);
        Assert.True(same.Code == 0, same.Out);
    }

    [Fact]
    public async Task TheOptionIsForGgufAlone()
    {
        CliResult refused = await Lrq.Run("convert", TestData.Demo, "--to", "dense", "--lossy-vocabulary", "--out", "nowhere");
        Assert.Equal(2, refused.Code);
        Assert.Contains("--lossy-vocabulary: is for --to gguf", refused.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TokensBeyondTheEmbeddingAreLeftOutWithAWarning()
    {
        using var folder = new TemporaryFolder();
        string model = DemoCopy.Create(folder, "model"), file = folder.File("m.gguf");
        DemoCopy.Edit(model, "tokenizer_config.json", config => config["pad_token"] = "<none>");
        DemoCopy.Edit(model, "added_tokens.json", added => added["<pad>"] = 2048);
        CliResult written = await Lrq.Run("convert", model, "--to", "gguf", "--out", file);
        Assert.True(written.Code == 0, written.Error);
        Assert.Contains("warning: tokenizer: '<pad>' with ids from 2048 on left out: the embedding has 2048 rows", written.Out, StringComparison.Ordinal);
        // Named without an id, and no row is left for one.
        Assert.Contains("warning: tokenizer_config.json: the special token \"<none>\" has no id", written.Out, StringComparison.Ordinal);
        using GgufFile read = GgufFile.Open(file);
        Assert.Equal(2048, read.Metadata.FindStrings("tokenizer.ggml.tokens")!.Length);
    }

    [Fact]
    public async Task AFileWithoutAPreTokenizerIsReadAsTheEngineDoesWithAWarning()
    {
        using var folder = new TemporaryFolder();
        string demo = await GgufEdit.Demo(folder), file = GgufEdit.Rewrite(demo, folder.File("old.gguf"), [("tokenizer.ggml.pre", null)]);
        CliResult shown = await Lrq.Run("inspect", file);
        Assert.Equal(0, shown.Code);
        Assert.Contains("'tokenizer.ggml.pre' is missing", shown.Out, StringComparison.Ordinal);
        // The pieces of 'default' are not those of gpt-2: three digits at most.
        CliResult other = await Lrq.Run("verify", file, "--against", demo);
        Assert.Equal(1, other.Code);
        Assert.Contains("different: tokenizer: text ", other.Out, StringComparison.Ordinal);
        // A folder and a file made of it cut in the same way.
        string back = folder.File("back"), again = folder.File("again.gguf");
        Assert.Equal(0, (await Lrq.Run("convert", file, "--out", back)).Code);
        CliResult same = await Lrq.Run("verify", back, "--against", file);
        Assert.True(same.Code == 0, same.Out);
        Assert.Equal(0, (await Lrq.Run("convert", back, "--to", "gguf", "--out", again)).Code);
        using GgufFile read = GgufFile.Open(again);
        Assert.Equal("default", read.Metadata.FindString("tokenizer.ggml.pre"));
    }

    [Theory]
    [InlineData("tokenizer.ggml.add_sep_token", true, "'tokenizer.ggml.add_sep_token' is not used by llama.cpp")]
    [InlineData("tokenizer.ggml.remove_extra_whitespaces", true, "'tokenizer.ggml.remove_extra_whitespaces' is not used by llama.cpp")]
    [InlineData("tokenizer.ggml.made_up", 1u, "'tokenizer.ggml.made_up' is not known and left out")]
    public async Task KeysOfTheVocabularyThatChangeNothingHereAreNamed(string key, object value, string expected)
    {
        using var folder = new TemporaryFolder();
        CliResult shown = await Lrq.Run("inspect", GgufEdit.Rewrite(await GgufEdit.Demo(folder), folder.File("m.gguf"), [(key, value)]));
        Assert.Equal(0, shown.Code);
        Assert.Contains(expected, shown.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnUnknownPreTokenizerIsRefusedByName()
    {
        using var folder = new TemporaryFolder();
        string file = GgufEdit.Rewrite(await GgufEdit.Demo(folder), folder.File("m.gguf"), [("tokenizer.ggml.pre", "brand-new")]);
        CliResult refused = await Lrq.Run("convert", file, "--out", folder.File("out"));
        Assert.Equal(1, refused.Code);
        Assert.Contains("tokenizer.ggml.pre = \"brand-new\"", refused.Error, StringComparison.Ordinal);
    }
}
