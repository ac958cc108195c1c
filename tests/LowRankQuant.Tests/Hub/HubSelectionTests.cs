using LowRankQuant.Hub;

namespace LowRankQuant.Tests.Hub;

public class HubSelectionTests
{
    private static readonly HubName Name = HubName.Parse("hf://org/name");

    [Fact]
    public void OnlyWhatIsReadIsChosen()
    {
        string[] names =
        [
            ".gitattributes", "LICENSE", "README.md", "adapter/adapter_config.json", "adapter/branches.safetensors", "chat_template.jinja", "config.json", "flax_model.msgpack",
            "generation_config.json", "merges.txt", "model.safetensors", "modeling.py", "onnx/model.onnx", "onnx/tokenizer.json", "optimizer.pt", "pytorch_model.bin", "special_tokens_map.json",
            "tokenizer.json", "tokenizer.model", "tokenizer.pkl", "tokenizer_config.json", "vocab.json",
        ];
        HubSelection selection = HubSelection.Of(names, Name);
        Assert.Equal(
            [
                "LICENSE", "adapter/adapter_config.json", "adapter/branches.safetensors", "chat_template.jinja", "config.json", "generation_config.json", "merges.txt", "model.safetensors",
                "special_tokens_map.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json",
            ],
            selection.Files.Order(StringComparer.Ordinal));
        Assert.Null(selection.Gguf);
        Assert.Null(selection.Index);
    }

    [Fact]
    public void AnIndexSaysWhichShards()
    {
        // As Mistral's repositories hold their tensors: twice.
        string[] names = ["config.json", "consolidated.safetensors", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"];
        HubSelection selection = HubSelection.Of(names, Name);
        Assert.Equal(["config.json", "model.safetensors.index.json"], selection.Files);
        using var folder = new TemporaryFolder();
        string index = folder.File("index.json");
        File.WriteAllText(index, """{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors", "c": "model-00001-of-00002.safetensors"}}""");
        Assert.Equal(names[2..4], HubSelection.Shards(index, names, Name));
        Assert.Contains("model-00002", Assert.Throws<HubException>(() => HubSelection.Shards(index, names[..3], Name)).Message, StringComparison.Ordinal);
        Assert.Contains("several indices", Assert.Throws<HubException>(() => HubSelection.Of(["a.safetensors.index.json", "b.safetensors.index.json"], Name)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ShardsWithoutAnIndexAndAdaptersAreTaken()
    {
        Assert.Equal(["m-1-of-2.safetensors", "m-2-of-2.safetensors"], HubSelection.Of(["m-1-of-2.safetensors", "m-2-of-2.safetensors", "adapter_model.safetensors"], Name).Files);
        Assert.Equal(["adapter_model.safetensors", "adapter_config.json"], HubSelection.Of(["adapter_config.json", "adapter_model.safetensors"], Name).Files);
    }

    [Fact]
    public void OneGgufIsTakenAndOfSeveralOneMustBeNamed()
    {
        Assert.Equal("m.gguf", HubSelection.Of(["README.md", "m.gguf"], Name).Gguf);
        HubSelection split = HubSelection.Of(["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"], Name);
        Assert.Equal(("m-00001-of-00002.gguf", 2), (split.Gguf, split.Files.Count));
        string message = Assert.Throws<HubException>(() => HubSelection.Of(["m-q4.gguf", "m-q8.gguf"], Name)).Message;
        Assert.Contains("hf://org/name/m-q4.gguf", message, StringComparison.Ordinal);
        Assert.Contains("m-q8.gguf", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("run code", "config.json", "pytorch_model.bin")]
    [InlineData("there are README.md", "README.md")]
    [InlineData("there are no files")]
    public void WhatHoldsNoModelIsRefused(string words, params string[] names) =>
        Assert.Contains(words, Assert.Throws<HubException>(() => HubSelection.Of(names, Name)).Message, StringComparison.Ordinal);

    [Fact]
    public void PatternsNeverBringPickles()
    {
        string[] names = ["a.json", "b/c.json", "b/model.bin"];
        Assert.Equal(["a.json", "b/c.json"], HubSelection.Of(names, Name, ["*.json"]).Files);
        Assert.Equal(["b/c.json"], HubSelection.Of(names, Name, ["b/*"]).Files);
        Assert.Throws<HubException>(() => HubSelection.Of(names, Name, ["*.bin"]));
    }

    [Theory]
    [InlineData("a", true)]
    [InlineData("a/b.c", true)]
    [InlineData("..a/b..", true)]
    [InlineData("", false)]
    [InlineData("/a", false)]
    [InlineData("a/", false)]
    [InlineData("a//b", false)]
    [InlineData("../a", false)]
    [InlineData("a/./b", false)]
    [InlineData("a\\b", false)]
    [InlineData("C:a", false)]
    [InlineData("a\0", false)]
    public void NamesThatLeadElsewhereAreFound(string path, bool safe) => Assert.Equal(safe, HubPath.IsSafe(path));
}
