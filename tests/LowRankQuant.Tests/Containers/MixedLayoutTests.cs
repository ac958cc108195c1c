using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Containers;

/// <summary>
/// Checkpoints whose modules have layouts of their own: gptqmodel's <c>dynamic</c> and AutoRound's <c>extra_config</c>. The reference has one layout a
/// folder, so modules of several of its folders, all made from one model, are put into one.
/// </summary>
public class MixedLayoutTests
{
    private const string Dense = "";

    [Fact]
    public async Task GptqModulesHaveTheLayoutOfTheFirstRuleThatMatches()
    {
        using var folder = new TemporaryFolder();
        string model = Build(folder, "gptq", "w4-g32-sym-v1", Source, quantization => quantization["dynamic"] = new JsonObject
        {
            [@"-:.*layers\.1\.mlp\.down"] = new JsonObject(),
            [@"+:model\.layers\.0\.mlp"] = new JsonObject { ["bits"] = 8, ["group_size"] = -1, ["desc_act"] = false, ["mse"] = null },
            [@"model\.layers\.1\.self_attn\."] = new JsonObject { ["bits"] = 3, ["group_size"] = 64, ["sym"] = false },
            [@"+:.*layers\.0\.mlp"] = new JsonObject { ["bits"] = 2 },
            [@"layers\.0"] = new JsonObject { ["bits"] = 2 }, // patterns match from the start of the name
        });
        Compare(model, "gptq", Source);
        await MovesWhole(model, folder);

        static string Source(string module) =>
            module.Contains("layers.1.mlp.down", StringComparison.Ordinal) ? Dense
            : module.Contains("layers.0.mlp", StringComparison.Ordinal) ? "w8-row-sym-v1"
            : module.Contains("layers.1.self_attn", StringComparison.Ordinal) ? "w3-g64-asym-v1" : "w4-g32-sym-v1";
    }

    [Fact]
    public async Task AutoRoundLayersHaveTheLayoutOfTheirNameOrPattern()
    {
        using var folder = new TemporaryFolder();
        string model = Build(folder, "autoround", "w4-g32-sym", Source, quantization => quantization["extra_config"] = new JsonObject
        {
            [".*up_proj$"] = new JsonObject { ["bits"] = 4 }, // the name below comes first all the same
            ["model.layers.0.mlp.up_proj"] = new JsonObject { ["bits"] = 2, ["act_bits"] = 16, ["act_dynamic"] = null },
            [@"layers\.1\..*(q|k|v)_proj"] = new JsonObject { ["bits"] = 3, ["group_size"] = 32, ["sym"] = true, ["data_type"] = "int" },
            ["model.layers.1.mlp.down_proj"] = new JsonObject { ["bits"] = 16, ["data_type"] = "float" },
        });
        Compare(model, "autoround", Source);
        await MovesWhole(model, folder);

        static string Source(string module) => module switch
        {
            "model.layers.1.mlp.down_proj" => Dense,
            "model.layers.0.mlp.up_proj" => "w2-g32-sym",
            _ when module.StartsWith("model.layers.1.self_attn.", StringComparison.Ordinal) && !module.EndsWith("o_proj", StringComparison.Ordinal) => "w3-g32-sym",
            _ => "w4-g32-sym",
        };
    }

    [Fact]
    public async Task AModuleThatTheRulesLeaveDenseMustNotBeStoredQuantized()
    {
        using var folder = new TemporaryFolder();
        string model = Build(folder, "gptq", "w4-g32-sym-v1", _ => "w4-g32-sym-v1", quantization => quantization["dynamic"] = new JsonObject { ["-:.*k_proj"] = new JsonObject() });
        CliResult result = await Lrq.Run("inspect", model);
        Assert.Equal(1, result.Code);
        Assert.Contains("k_proj': is stored quantized, but the configuration leaves it dense", result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("(.+)+!", null)]
    [InlineData("(?=(.+)+!).", "takes longer than 1 s to match")]
    [InlineData("(", "is not a regular expression")]
    public void PatternsOfAFileCannotHoldUpTheReader(string pattern, string? error)
    {
        using var folder = new TemporaryFolder();
        string model = Build(folder, "gptq", "w4-g32-sym-v1", _ => "w4-g32-sym-v1", quantization => quantization["dynamic"] = new JsonObject { [pattern] = new JsonObject { ["bits"] = 8 } });
        Exception? thrown = Record.Exception(() => HuggingFaceCheckpoint.Open(model).Dispose());
        if (error is null)
        {
            Assert.Null(thrown);
            return;
        }
        var refused = Assert.IsType<CheckpointFormatException>(thrown);
        Assert.Equal("config-pattern", refused.Kind);
        Assert.Contains(error, refused.Message, StringComparison.Ordinal);
    }

    /// <summary>A folder with every module from the folder that <paramref name="sourceOf"/> names, or as floats.</summary>
    private static string Build(TemporaryFolder folder, string container, string common, Func<string, string> sourceOf, Action<JsonObject> configure)
    {
        string target = folder.File("mixed"), first = TestData.Path("golden", container, common);
        Directory.CreateDirectory(target);
        JsonObject config = JsonNode.Parse(File.ReadAllText(Path.Combine(first, "config.json")))!.AsObject();
        configure(config["quantization_config"]!.AsObject());
        File.WriteAllText(Path.Combine(target, "config.json"), config.ToJsonString());
        var open = new Dictionary<string, SafetensorsFolder>(StringComparer.Ordinal);
        SafetensorsFolder Open(string path) => open.TryGetValue(path, out SafetensorsFolder? known) ? known : open[path] = SafetensorsFolder.Open(path);
        List<PendingTensor> tensors = [];
        foreach (string name in Open(first).Names.Some())
        {
            string module = name[..name.LastIndexOf('.')];
            if (!module.EndsWith("_proj", StringComparison.Ordinal)) tensors.Add(PendingTensor.Copy(Open(first), name));
            else if (name.EndsWith(".qweight", StringComparison.Ordinal))
            {
                string source = sourceOf(module);
                SafetensorsFolder from = Open(source == Dense ? TestData.Path("golden", "compressed-tensors", "base") : TestData.Path("golden", container, source));
                tensors.AddRange(from.Names.Where(part => part.StartsWith(module + ".", StringComparison.Ordinal)).Select(part => PendingTensor.Copy(from, part)));
            }
        }
        SafetensorsFolderWriter.Write(target, tensors, cancellationToken: TestContext.Current.CancellationToken);
        foreach (SafetensorsFolder source in open.Values) source.Dispose();
        return target;
    }

    private static void Compare(string model, string container, Func<string, string> sourceOf)
    {
        using HuggingFaceCheckpoint mixed = HuggingFaceCheckpoint.Open(model);
        string[] linears = [.. mixed.TensorNames.Where(name => name.EndsWith("_proj.weight", StringComparison.Ordinal))];
        Assert.Equal(14, linears.Length);
        foreach (string name in linears)
        {
            string source = sourceOf(name[..^".weight".Length]);
            using HuggingFaceCheckpoint origin = HuggingFaceCheckpoint.Open(
                source == Dense ? TestData.Path("golden", "compressed-tensors", "base") : TestData.Path("golden", container, source));
            OrderedWeight? expected = origin.ReadOrdered(name), actual = mixed.ReadOrdered(name);
            Assert.Equal(source == Dense, actual is null);
            Assert.Equal(expected?.Weight.Grid, actual?.Weight.Grid);
            Assert.Equal(expected?.Weight.Codes, actual?.Weight.Codes);
            Assert.Equal(expected?.Weight.Scales, actual?.Weight.Scales);
            Assert.Equal(expected?.Weight.ZeroPoints, actual?.Weight.ZeroPoints);
            float[] values = new float[origin.ShapeOf(name)[0] * origin.ShapeOf(name)[1]], found = new float[values.Length];
            origin.Read(name, values);
            mixed.Read(name, found);
            Assert.Equal(values, found);
        }
    }

    // Layouts of every kind, and the floats, arrive in a container that holds all of them.
    private static async Task MovesWhole(string model, TemporaryFolder folder)
    {
        string output = folder.File("out");
        CliResult result = await Lrq.Run("convert", model, "--to", "compressed-tensors", "--out", output);
        Assert.Equal((0, ""), (result.Code, result.Error));
        CliResult verified = await Lrq.Run("verify", output, "--against", model, "--json");
        Assert.True(verified.Code == 0, verified.Out + verified.Error);
        Assert.Equal(13, (int)JsonNode.Parse(verified.Out)!["comparedByCodes"]!);
    }
}
