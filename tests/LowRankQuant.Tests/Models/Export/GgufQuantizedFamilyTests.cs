using LowRankQuant.Formats.Gguf;
using LowRankQuant.LlamaCpp;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Models.Export.Gguf;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Tests.Families;

namespace LowRankQuant.Tests.Models.Export;

/// <summary>
/// Quantized models of every family that llama.cpp knows: it computes the logits of the values that the file holds, within what its own rounding of the inputs of
/// quantized layers to 8 bits makes of them.
/// </summary>
[Collection(LlamaCppFixture.Collection)]
public sealed class GgufQuantizedFamilyTests : IDisposable
{
    private const double Tolerance = 0.02;

    // States, gates and latents carry what the rounding makes of inputs further than attention does. That nothing else is there a file of the same values in 32-bit floats shows, in
    // which no input is rounded.
    private const double CarriedTolerance = 0.05, FloatTolerance = 1e-5;

    // With a router the rounded inputs choose another expert now and then, where two are as good as equal; a position where that happened is another function.
    private const double OtherChoices = 0.2;

    // Published values where the reference configurations have others that llama.cpp does not compute: docs/results/gguf-families.md. One layer where each
    // block's outputs are normalised, so that what the rounding makes of them does not fade.
    private static readonly Dictionary<string, string?> Changes = new(StringComparer.Ordinal)
    {
        ["models/gemma2"] = """{"query_pre_attn_scalar": 64}""",
        ["models/gemma3_text"] = """{"query_pre_attn_scalar": 64, "sliding_window_pattern": 6}""",
        ["models/cohere_qk_norm"] = """{"use_qk_norm": false}""",
        ["models/cohere2"] = """{"sliding_window_pattern": 4}""",
        ["models/smollm3"] = """{"no_rope_layers": [1, 1]}""",
        ["models2/gpt_oss"] = """{"swiglu_limit": 7.0, "rope_scaling": null}""",
        ["models2/llama4_text"] = """{"attention_chunk_size": 8192, "attn_scale": 0.1, "floor_scale": 8192, "num_hidden_layers": 4}""",
        ["models2/olmoe"] = """{"clip_qkv": null, "num_key_value_heads": 4}""",
        ["models2/olmo3"] = """{"num_hidden_layers": 1, "layer_types": null}""",
        ["models/mistral"] = """{"sliding_window": null}""",
        ["models/phi3"] = """{"sliding_window": null}""",
        ["models/starcoder2"] = """{"sliding_window": null}""",
        ["hybrids/qwen3_5"] = """{"full_attention_interval": 2}""",
        ["hybrids/qwen3_next"] = """{"full_attention_interval": 2}""",
        ["hybrids/deepseek_v2"] = """{"q_lora_rank": 256}""",
        ["hybrids/deepseek_v3"] = """{"rms_norm_eps": 1e-6}""",
        ["hybrids/mamba2"] = """{"time_step_limit": null}""",
        ["hybrids/nemotron_h"] = """{"num_hidden_layers": 4}""",
        ["hybrids/nemotron_h_moe"] = """{"num_hidden_layers": 3}""",
        // Powers of two, by which scales are multiplied without rounding.
        ["hybrids/falcon_h1"] = """
            {
              "attention_in_multiplier": 2, "attention_out_multiplier": 1, "embedding_multiplier": 3, "key_multiplier": 2, "lm_head_multiplier": 0.3, "mlp_multipliers": [2, 1],
              "ssm_in_multiplier": 2, "ssm_out_multiplier": 1, "ssm_multipliers": [1, 2, 1, 4, 1]
            }
            """,
    };

    // Not in llama.cpp, not written here, or computed otherwise there whatever the configuration says.
    private static readonly string[] Without =
    [
        "models/opt_125m", "models/opt_350m", "models2/codegen", "models2/gptj", "models2/helium", "models2/persimmon", "models/falcon_rw", "models2/phimoe", "models2/exaone4",
        "hybrids/lfm3",
    ];

    private readonly TemporaryFolder _folder = new();
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 2 });

    public static TheoryData<string> Cases => [.. FamilyModels.Cases.Except(Without)];

    public void Dispose()
    {
        _device.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void TheEngineComputesTheLogitsOfWhatTheFileHolds(string name)
    {
        LlamaEngine engine = LlamaCppFixture.Engine;
        string folder = _folder.File("model");
        FamilyModels.Write(name, folder, Changes.GetValueOrDefault(name));
        int[] ids = [.. Enumerable.Range(0, 24).Select(i => (i * i * 7) % FamilyModels.Vocabulary)];
        var errors = new List<string>();
        bool within = true;
        foreach ((string grid, GgmlType type) in new[] { ("w4 sym g32", GgmlType.Q4_0), ("w8 sym", GgmlType.Q8_0), ("Q4_K", GgmlType.Q4_K), ("Q2_K", GgmlType.Q2_K) })
        {
            using var source = new GridCheckpoint(CheckpointOpener.Open(folder), _ => GgufExporterTests.Grid(grid));
            using var own = new CausalModel(source, _device);
            string path = _folder.File($"{type}.gguf");
            GgufExport export = GgufExporter.Write(
                source, path, new GgufExportOptions { Linear = GgmlType.F32, Embedding = GgmlType.F32, Output = GgmlType.F32, WithoutTokenizer = true },
                cancellation: TestContext.Current.CancellationToken);
            Assert.Contains(export.Tensors, tensor => tensor.Type == type);
            using LlamaModel model = engine.Open(path);
            using LlamaContext context = model.CreateContext(exact: true);
            float[] expected = ForwardTrace.Of(own, ids).Logits, actual = context.Logits(ids);
            bool routes = source.Layout.Modules.Any(module => module.Name.Contains(".experts.", StringComparison.Ordinal));
            double error = Error(expected, actual, ids.Length, routes ? OtherChoices : 0);
            bool carries = name.StartsWith("hybrids/", StringComparison.Ordinal);
            double exact = carries ? FloatError(engine, path, expected, ids, routes) : 0;
            errors.Add(carries ? $"{type} {error:g3} (floats {exact:g3})" : $"{type} {error:g3}");
            within &= error < (carries ? CarriedTolerance : Tolerance) && exact < FloatTolerance;
        }
        string line = $"{name}: relative differences {string.Join(", ", errors)}";
        TestContext.Current.TestOutputHelper?.WriteLine(line);
        Assert.True(within, line);
    }

    [Fact]
    public void AModelWithoutTheLayerThatTheEngineLooksForIsRefused()
    {
        string folder = _folder.File("model");
        FamilyModels.Write("models2/llama4_text", folder, """{"attention_chunk_size": 8192, "attn_scale": 0.1, "floor_scale": 8192, "num_hidden_layers": 3}""");
        using ICheckpoint source = CheckpointOpener.Open(folder);
        ExportException refused = Assert.Throws<ExportException>(() => GgufExporter.Write(
            source, _folder.File("a.gguf"), new GgufExportOptions { WithoutTokenizer = true }, cancellation: TestContext.Current.CancellationToken));
        Assert.Equal("num_hidden_layers is 3; the llama4 architecture of llama.cpp has 4 at the least", Assert.Single(refused.Problems).Split(", so")[0]);
    }

    private double FloatError(LlamaEngine engine, string path, float[] expected, int[] ids, bool routes)
    {
        string floats = _folder.File("floats.gguf");
        using (ICheckpoint file = CheckpointOpener.Open(path))
            GgufExporter.Write(file, floats, new GgufExportOptions { Linear = GgmlType.F32, WithoutTokenizer = true }, cancellation: TestContext.Current.CancellationToken);
        using LlamaModel model = engine.Open(floats);
        using LlamaContext context = model.CreateContext(exact: true);
        return Error(expected, context.Logits(ids), ids.Length, routes ? OtherChoices : 0);
    }

    // Of all positions but so large a part of them, those that differ most.
    private static double Error(float[] expected, float[] actual, int positions, double left)
    {
        int width = expected.Length / positions;
        (double Difference, double Norm)[] rows = [.. Enumerable.Range(0, positions).Select(position =>
        {
            double difference = 0, norm = 0;
            for (int i = position * width; i < (position + 1) * width; i++)
            {
                difference += Math.Pow(expected[i] - actual[i], 2);
                norm += Math.Pow(expected[i], 2);
            }
            return (difference, norm);
        }).OrderBy(row => row.difference / row.norm)];
        rows = rows[..(positions - (int)(positions * left))];
        return Math.Sqrt(rows.Sum(row => row.Difference) / rows.Sum(row => row.Norm));
    }
}
