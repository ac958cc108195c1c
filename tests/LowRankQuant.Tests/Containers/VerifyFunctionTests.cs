using System.Text.Json.Nodes;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Containers;

/// <summary>verify fails where anything that decides the function was lost, and names it; it passes on what was not.</summary>
public class VerifyFunctionTests
{
    [Fact]
    public async Task WhatRoundTripsIsTheSame()
    {
        using var folder = new TemporaryFolder();
        string gguf = await GgufEdit.Demo(folder), dense = folder.File("dense");
        await Same(gguf, TestData.Demo);
        Assert.Equal(0, (await Lrq.Run("convert", gguf, "--dtype", "fp32", "--out", dense)).Code);
        JsonNode report = await Same(dense, gguf);
        Assert.InRange((int)report["texts"]!, 300, 2000);
    }

    [Fact]
    public async Task AHeadOfItsOwnThatIsLostIsFound()
    {
        using var folder = new TemporaryFolder();
        string model = Untied(folder, "untied"), whole = folder.File("whole.gguf"), demo = await GgufEdit.Demo(folder);
        Assert.Equal(0, (await Lrq.Run("convert", model, "--to", "gguf", "--out", whole)).Code);
        await Same(whole, model);
        await Differs(GgufEdit.Rewrite(whole, folder.File("lost.gguf"), [], drop: ["output.weight"]), model, "lm_head.weight: element ");
        // A head of its own with the embedding's values is the same function.
        await Same(GgufEdit.Rewrite(demo, folder.File("equal.gguf"), [], add: [Head(demo, 0)]), TestData.Demo);
        await Differs(GgufEdit.Rewrite(demo, folder.File("other.gguf"), [], add: [Head(demo, 0.5f)]), TestData.Demo, "lm_head.weight: element 0");
    }

    [Fact]
    public async Task AFlagThatMakesEnginesLeaveTheHeadOutIsFound()
    {
        using var folder = new TemporaryFolder();
        string model = Untied(folder, "untied"), tied = Untied(folder, "tied");
        DemoCopy.Edit(tied, "config.json", config => config["tie_word_embeddings"] = true);
        await Differs(tied, model, "tie_word_embeddings: is true, and lm_head.weight is another matrix");
    }

    [Theory]
    [InlineData("rope_theta", 20000.0, "rotary frequencies: number 1 for 1 positions is")]
    [InlineData("rms_norm_eps", 1e-6, "rms_norm_eps: is 1E-06, the run has 1E-05")]
    [InlineData("hidden_act", "gelu", "hidden_act: is GeluErf, the run has Silu")]
    [InlineData("bos_token_id", 5, "bos_token_id: is 5, the run has 0")]
    [InlineData("eos_token_id", 7, "eos_token_id: is 7, the run has 0")]
    public async Task SizesAnglesAndChoicesAreCompared(string key, object value, string expected)
    {
        using var folder = new TemporaryFolder();
        string changed = DemoCopy.Create(folder, "changed");
        DemoCopy.Edit(changed, "config.json", config => config[key] = JsonValue.Create(value));
        await Differs(changed, TestData.Demo, expected);
    }

    [Fact]
    public async Task DynamicScalingShowsBeyondTheTraining()
    {
        using var folder = new TemporaryFolder();
        string changed = DemoCopy.Create(folder, "changed");
        DemoCopy.Edit(changed, "config.json", config => config["rope_scaling"] = new JsonObject { ["rope_type"] = "dynamic", ["factor"] = 2.0 });
        await Differs(changed, TestData.Demo, "rotary frequencies: number 1 for 1024 positions is");
    }

    [Fact]
    public async Task LostAddedTokensAreFound()
    {
        using var folder = new TemporaryFolder();
        string model = DemoCopy.Create(folder, "model"), file = folder.File("m.gguf");
        // An id that the demo's vocabulary has, as a token that is searched for.
        string text = JsonNode.Parse(File.ReadAllText(Path.Combine(model, "tokenizer.json")))!["model"]!["vocab"]!.AsObject().First(entry => (int)entry.Value! == 1500).Key;
        DemoCopy.Edit(model, "tokenizer_config.json", config => config["added_tokens_decoder"] = new JsonObject
        {
            ["0"] = Token("<|endoftext|>", true),
            ["1500"] = Token(text, false),
        });
        Assert.Equal(0, (await Lrq.Run("convert", model, "--to", "gguf", "--out", file)).Code);
        await Same(file, model);
        uint[] types;
        using (GgufFile read = GgufFile.Open(file)) types = [.. read.Metadata.FindInt64s("tokenizer.ggml.token_type")!.Select(type => (uint)type)];
        Assert.Equal((3u, 4u), (types[0], types[1500]));
        types[0] = types[1500] = 1;
        await Differs(GgufEdit.Rewrite(file, folder.File("lost.gguf"), [("tokenizer.ggml.token_type", types)]), model, "tokenizer: added token ");
    }

    [Fact]
    public async Task TheFrameAroundATextIsCompared()
    {
        using var folder = new TemporaryFolder();
        string demo = await GgufEdit.Demo(folder);
        await Differs(
            GgufEdit.Rewrite(demo, folder.File("bos.gguf"), [("tokenizer.ggml.add_bos_token", true)]), TestData.Demo,
            "tokenizer: around a text come ids [0] and [], with the run ids [] and []");
    }

    [Fact]
    public async Task ChatTemplatesAreComparedAndTravelByName()
    {
        using var folder = new TemporaryFolder();
        string model = DemoCopy.Create(folder, "model"), file = folder.File("m.gguf"), back = folder.File("back");
        const string Default = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}", Tools = "{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}";
        File.WriteAllText(Path.Combine(model, "chat_template.jinja"), Default);
        Directory.CreateDirectory(Path.Combine(model, "additional_chat_templates"));
        File.WriteAllText(Path.Combine(model, "additional_chat_templates", "tool_use.jinja"), Tools);
        Assert.Equal(0, (await Lrq.Run("convert", model, "--to", "gguf", "--out", file)).Code);
        using (GgufFile read = GgufFile.Open(file))
        {
            Assert.Equal(Default, read.Metadata.FindString("tokenizer.chat_template"));
            Assert.Equal(Tools, read.Metadata.FindString("tokenizer.chat_template.tool_use"));
            Assert.Equal(["tool_use"], read.Metadata.FindStrings("tokenizer.chat_templates")!);
        }
        Assert.Equal(2, (int)(await Same(file, model))["chatTemplates"]!);
        Assert.Equal(0, (await Lrq.Run("convert", file, "--out", back)).Code);
        Assert.Equal(2, (int)(await Same(back, file))["chatTemplates"]!);
        string copy = folder.File("copy");
        Assert.Equal(0, (await Lrq.Run("convert", model, "--out", copy)).Code);
        Assert.Equal(Tools, File.ReadAllText(Path.Combine(copy, "additional_chat_templates", "tool_use.jinja")));
        await Differs(GgufEdit.Rewrite(file, folder.File("one.gguf"), [("tokenizer.chat_template.tool_use", null)]), model, "chat template 'tool_use': is absent");
        await Differs(
            GgufEdit.Rewrite(file, folder.File("two.gguf"), [("tokenizer.chat_template", Default + "!")]), model,
            $"chat template 'default': differs from the run's at character {Default.Length}");
    }

    [Theory]
    [InlineData("tokenizer_config.json", """{"chat_template": [{"name": "default", "template": "D"}, {"name": "rag", "template": "R"}]}""", "default,rag")]
    [InlineData("chat_template.json", """{"chat_template": "P"}""", "default")]
    [InlineData("tokenizer_config.json", """{"chat_template": "T"}""", "default")]
    [InlineData("tokenizer_config.json", """{"chat_template": [{"name": "tool_use", "template": "D"}]}""", "tool_use")]
    public async Task TemplatesAreFoundWhereverTheyStand(string name, string json, string expected)
    {
        using var folder = new TemporaryFolder();
        string model = DemoCopy.Create(folder, "model"), file = folder.File("m.gguf");
        DemoCopy.Edit(model, name, existing => existing["chat_template"] = JsonNode.Parse(json)!["chat_template"]!.DeepClone());
        Assert.Equal(0, (await Lrq.Run("convert", model, "--to", "gguf", "--out", file)).Code);
        using (GgufFile read = GgufFile.Open(file))
        {
            string[] keys = [.. read.Metadata.All.Keys.Where(key => key.StartsWith("tokenizer.chat_template", StringComparison.Ordinal) && key != "tokenizer.chat_templates")
                .Select(key => key == "tokenizer.chat_template" ? "default" : key["tokenizer.chat_template.".Length..]).Order(StringComparer.Ordinal)];
            Assert.Equal(expected, string.Join(",", keys));
        }
        await Same(file, model);
    }

    [Fact]
    public async Task WithoutATokenizerNothingIsSaidOfTexts()
    {
        using var folder = new TemporaryFolder();
        string demo = await GgufEdit.Demo(folder);
        string bare = GgufEdit.Rewrite(demo, folder.File("bare.gguf"), [("tokenizer.ggml.model", "none"), ("tokenizer.ggml.tokens", null)]);
        JsonNode report = await Same(bare, TestData.Demo);
        Assert.Equal(0, (int)report["texts"]!);
        Assert.Contains(report["notes"]!.AsArray(), note => note!.ToString().Contains("has no tokenizer; what becomes of texts is not compared", StringComparison.Ordinal));
    }

    private static JsonObject Token(string content, bool special) => new() { ["content"] = content, ["special"] = special, ["normalized"] = false };

    private static PendingGgufTensor Head(string demo, float first)
    {
        using GgufFile file = GgufFile.Open(demo);
        long[] shape = [.. file.ShapeOf("token_embd.weight")];
        var values = new float[shape[0] * shape[1]];
        file.ReadSingles("token_embd.weight", values);
        values[0] += first;
        return PendingGgufTensor.FromSingles("output.weight", GgmlType.F16, shape, values);
    }

    /// <summary>The demo with a head of its own, the embedding's rows in reverse.</summary>
    private static string Untied(TemporaryFolder folder, string name)
    {
        string model = DemoCopy.Create(folder, name), path = Path.Combine(model, "model.safetensors");
        var tensors = new List<PendingTensor>();
        string written = path + ".new";
        using (SafetensorsFile file = SafetensorsFile.Open(path))
        {
            tensors.AddRange(file.Names.Select(tensor =>
            {
                long[] shape = file.Tensors[tensor].Shape;
                var values = new float[shape.Aggregate(1L, (product, size) => product * size)];
                file.ReadSingles(tensor, values);
                return new PendingTensor(tensor, file.Tensors[tensor].Type, shape, sink => sink.WriteSingles(values));
            }));
            long[] embedding = file.Tensors["model.embed_tokens.weight"].Shape;
            var head = new float[embedding[0] * embedding[1]];
            file.ReadSingles("model.embed_tokens.weight", head);
            Array.Reverse(head);
            tensors.Add(new PendingTensor("lm_head.weight", file.Tensors["model.embed_tokens.weight"].Type, embedding, sink => sink.WriteSingles(head)));
            SafetensorsWriter.Write(written, PendingTensor.ReferenceOrder(tensors));
        }
        File.Move(written, path, overwrite: true);
        DemoCopy.Edit(model, "config.json", config => config["tie_word_embeddings"] = false);
        return model;
    }

    private static async Task<JsonNode> Same(string container, string run)
    {
        CliResult verified = await Lrq.Run("verify", container, "--against", run, "--json");
        Assert.True(verified.Code == 0, verified.Out + verified.Error);
        return JsonNode.Parse(verified.Out)!;
    }

    private static async Task Differs(string container, string run, string expected)
    {
        CliResult verified = await Lrq.Run("verify", container, "--against", run);
        Assert.Equal(1, verified.Code);
        Assert.Contains($"different: {expected}", verified.Out, StringComparison.Ordinal);
    }
}
