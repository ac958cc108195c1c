using System.Text.Json.Nodes;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Export;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Models;

/// <summary>What is made from the text model within a multimodal one has the names of its source, so that it loads where the source does.</summary>
public sealed class NestedNamesTests
{
    private static readonly string[] CodeEnds = [".weight_packed", ".weight_scale", ".weight_zero_point", ".weight_shape"];

    public static TheoryData<string, string> Cases => new()
    {
        { "gemma3", "language_model.model." }, { "gemma4", "model.language_model." }, { "mistral3", "language_model.model." },
        { "mistral3_tied", "language_model.model." }, { "llama4", "language_model.model." },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task AQuantizedFolderHasTheNamesOfItsSource(string name, string prefix)
    {
        string source = TestData.Path("golden", "models2", name);
        using var folder = new TemporaryFolder();
        string output = await Rounded(source, folder);
        using SafetensorsFolder before = SafetensorsFolder.Open(source), after = SafetensorsFolder.Open(output);
        foreach (string tensor in after.Names.Some())
        {
            string? end = CodeEnds.FirstOrDefault(end => tensor.EndsWith(end, StringComparison.Ordinal));
            if (end is null)
            {
                Assert.True(before.Contains(tensor), tensor);
                continue;
            }
            Assert.StartsWith($"{prefix}layers.", tensor, StringComparison.Ordinal);
            // Experts of a stack are written one by one, beside the stack's place.
            if (!tensor.Contains(".experts.", StringComparison.Ordinal)) Assert.True(before.Contains(tensor[..^end.Length] + ".weight"), tensor);
        }
        int untouched = 0;
        foreach (string tensor in before.Names.Where(tensor => !tensor.StartsWith(prefix, StringComparison.Ordinal) && !tensor.Contains("lm_head", StringComparison.Ordinal)))
        {
            Assert.Equal(before.Tensors[tensor].Type, after.Tensors[tensor].Type);
            Assert.Equal(before.ShapeOf(tensor), after.ShapeOf(tensor));
            int length = (int)before.Tensors[tensor].ByteLength;
            Assert.True(before.GetBytes(tensor, 0, length).SequenceEqual(after.GetBytes(tensor, 0, length)), tensor);
            untouched++;
        }
        Assert.True(untouched > 10, $"{untouched} tensors beside the text model");
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task AQuantizedFolderIsReadBackByStandardNames(string name, string prefix)
    {
        string source = TestData.Path("golden", "models2", name);
        using var folder = new TemporaryFolder();
        string output = await Rounded(source, folder);
        using ICheckpoint before = CheckpointOpener.Open(source), after = CheckpointOpener.Open(output);
        Assert.Equal(before.TensorNames.Order(StringComparer.Ordinal), after.TensorNames.Order(StringComparer.Ordinal));
        Assert.Equal(before.Carried.Select(tensor => tensor.Name).Order(StringComparer.Ordinal), after.Carried.Select(tensor => tensor.Name).Order(StringComparer.Ordinal));
        HashSet<string> linears = [.. before.Layout.Modules.Select(module => module.Name + ".weight")];
        foreach (string tensor in before.TensorNames.Some())
        {
            float[] expected = Read(before, tensor), actual = Read(after, tensor);
            if (!linears.Contains(tensor))
            {
                Assert.Equal(expected, actual);
                continue;
            }
            Assert.NotNull(after.ReadQuantized(tensor));
            double error = Math.Sqrt(expected.Zip(actual, (x, y) => Math.Pow(x - y, 2)).Sum() / expected.Sum(x => Math.Pow(x, 2)));
            Assert.InRange(error, 1e-4, 0.12);
        }
        Assert.StartsWith(prefix, after.WrittenName("model.layers.0.input_layernorm.weight"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task TheConfigurationNamesModulesAsTheFilesDo()
    {
        string source = TestData.Path("golden", "models2", "mistral3");
        using var folder = new TemporaryFolder();
        string output = await Rounded(source, folder, "--layers", "down_proj=8:16:symmetric");
        JsonNode config = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(output, "config.json"), TestContext.Current.CancellationToken))!["quantization_config"]!;
        string[] ignored = [.. config["ignore"]!.AsArray().Select(module => (string)module!)];
        Assert.Contains("language_model.lm_head", ignored);
        Assert.Contains("vision_tower.transformer.layers.0.attention.q_proj", ignored);
        Assert.Contains("multi_modal_projector.linear_1", ignored);
        Assert.DoesNotContain(ignored, module => module.StartsWith("language_model.model.", StringComparison.Ordinal) || module.Contains("patch_conv", StringComparison.Ordinal));
        string[] targets = [.. config["config_groups"]!.AsObject().SelectMany(group => group.Value!["targets"]!.AsArray()).Select(module => (string)module!)];
        Assert.Contains("language_model.model.layers.1.mlp.down_proj", targets);
        Assert.All(targets, module => Assert.StartsWith("language_model.model.layers.", module, StringComparison.Ordinal));
        using ICheckpoint after = CheckpointOpener.Open(output);
        Assert.Equal(8, after.ReadQuantized("model.layers.1.mlp.down_proj.weight")!.Grid is Numerics.Quantized.UniformGrid { Bits: var bits } ? bits : 0);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task FloatsOfANestedSourceHaveItsNamesAndValues(string name, string prefix)
    {
        string source = TestData.Path("golden", "models2", name);
        using var folder = new TemporaryFolder();
        string output = folder.File("dense");
        CliResult done = await Lrq.Run("convert", source, "--dtype", "fp32", "--out", output);
        Assert.True(done.Code == 0, done.Error);
        using SafetensorsFolder before = SafetensorsFolder.Open(source), after = SafetensorsFolder.Open(output);
        Assert.Equal(before.Names.Order(StringComparer.Ordinal), after.Names.Order(StringComparer.Ordinal));
        Assert.Equal(SafetensorsType.F32, after.Tensors[prefix + "norm.weight"].Type);
        using ICheckpoint again = CheckpointOpener.Open(output), original = CheckpointOpener.Open(source);
        foreach (string tensor in original.TensorNames.Some()) Assert.Equal(Read(original, tensor), Read(again, tensor));
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task FloatsOfAQuantizedFolderHaveTheNamesOfItsSource(string name, string prefix)
    {
        string source = TestData.Path("golden", "models2", name);
        using var folder = new TemporaryFolder();
        string quantized = await Rounded(source, folder), output = folder.File("floats");
        CliResult done = await Lrq.Run("export", quantized, "--to", "dense", "--out", output);
        Assert.True(done.Code == 0, done.Error);
        using SafetensorsFolder before = SafetensorsFolder.Open(source), after = SafetensorsFolder.Open(output);
        Assert.Equal(before.Names.Order(StringComparer.Ordinal), after.Names.Order(StringComparer.Ordinal));
        Assert.Contains(after.Names, tensor => tensor.StartsWith($"{prefix}layers.0.", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("models", "llama_gqa_sharded", "lm_head")]
    [InlineData("models", "llama_tied", "lm_head")]
    [InlineData("models", "qwen3_moe", "lm_head, model.layers.0.mlp.gate, model.layers.1.mlp.gate")]
    [InlineData("models2", "gemma4_moe", "lm_head, model.language_model.layers.0.router.proj, model.language_model.layers.1.router.proj")]
    public async Task EveryMatrixThatStaysInFloatsIsNamedToLoaders(string group, string name, string expected)
    {
        using var folder = new TemporaryFolder();
        string output = await Rounded(TestData.Path("golden", group, name), folder);
        JsonNode config = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(output, "config.json"), TestContext.Current.CancellationToken))!["quantization_config"]!;
        Assert.Equal(expected, string.Join(", ", config["ignore"]!.AsArray().Select(module => (string)module!)));
    }

    [Fact]
    public async Task AnAdapterHasTheNamesOfItsModel()
    {
        string source = TestData.Path("golden", "models2", "gemma3");
        const string Module = "model.layers.1.mlp.up_proj", Stored = "language_model." + Module;
        using var folder = new TemporaryFolder();
        string quantized = await Rounded(source, folder), adapter = folder.File("adapter");
        float[] a = [.. Enumerable.Range(0, 2 * 32).Select(i => i / 64f)], b = [.. Enumerable.Range(0, 48 * 2).Select(i => i / 32f)];
        PeftAdapterWriter.Write(adapter, [new AdapterModule(Stored, 48, 32, 2, () => a, () => b)], SafetensorsType.F32, AdapterForm.Pattern, "..", 16);
        using ICheckpoint plain = CheckpointOpener.Open(quantized), adapted = CheckpointOpener.Open(quantized, adapter);
        float[] before = Read(plain, Module + ".weight"), after = Read(adapted, Module + ".weight");
        Assert.Equal((a[1] * b[2]) + (a[33] * b[3]), after[33] - before[33], 3);
        string exported = folder.File("exported");
        var options = new ExportOptions { Output = exported, Adapter = ExportAdapter.Peft };
        new CompressedTensorsExporter().Write(new ExportSource(adapted), options, null, TestContext.Current.CancellationToken);
        using (SafetensorsFile written = SafetensorsFile.Open(Path.Combine(exported, "adapter", PeftAdapterWriter.TensorFile)))
            Assert.All(written.Names, name => Assert.StartsWith($"base_model.model.{Stored}.", name, StringComparison.Ordinal));
        using ICheckpoint again = CheckpointOpener.Open(exported);
        Assert.Equal(after, Read(again, Module + ".weight"));
        using SafetensorsFolder folderOfModel = SafetensorsFolder.Open(quantized), folderOfExport = SafetensorsFolder.Open(exported);
        Assert.Equal(folderOfModel.Names.Order(StringComparer.Ordinal), folderOfExport.Names.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void BiasesOfANestedModelAreNotedInItsPartOfTheConfiguration()
    {
        string source = TestData.Path("golden", "models2", "llama4");
        using var folder = new TemporaryFolder();
        using (SafetensorsFolder tensors = SafetensorsFolder.Open(source))
        {
            List<PendingTensor> written = [.. tensors.Names.Select(name => PendingTensor.Copy(tensors, name))];
            foreach (string weight in tensors.Names.Where(name => name.StartsWith("language_model", StringComparison.Ordinal) && name.EndsWith("_proj.weight", StringComparison.Ordinal) && name.Contains("self_attn", StringComparison.Ordinal)))
            {
                long rows = tensors.ShapeOf(weight)[0];
                written.Add(PendingTensor.FromSingles(weight[..^"weight".Length] + "bias", SafetensorsType.F32, [rows], new float[rows]));
            }
            SafetensorsFolderWriter.Write(folder.Path, written, 1 << 30, cancellationToken: TestContext.Current.CancellationToken);
        }
        File.Copy(Path.Combine(source, "config.json"), folder.File("config.json"));
        using ICheckpoint model = CheckpointOpener.Open(folder.Path);
        Assert.True((bool?)model.HuggingFaceConfig["text_config"]!["attention_bias"]);
        Assert.False(model.HuggingFaceConfig.ContainsKey("attention_bias"));
        Assert.True(model.Contains("model.layers.0.self_attn.q_proj.bias"));
    }

    private static async Task<string> Rounded(string source, TemporaryFolder folder, params string[] more)
    {
        string output = folder.File("rounded");
        CliResult done = await Lrq.Run(["quantize", source, "--method", "rtn", "--bits", "4", "--group-size", "8", "--threads", "1", "--out", output, .. more]);
        Assert.True(done.Code == 0, done.Error);
        return output;
    }

    private static float[] Read(ICheckpoint checkpoint, string name)
    {
        var values = new float[checkpoint.ShapeOf(name).Aggregate(1, (product, size) => product * size)];
        checkpoint.Read(name, values);
        return values;
    }
}
