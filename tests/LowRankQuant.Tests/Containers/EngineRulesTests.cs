using System.Text.Json.Nodes;
using LowRankQuant.Models.Export;
using LowRankQuant.Models.Verification.Engines;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Containers;

public class EngineRulesTests
{
    private const string Quantized = """{"bits": 4, "group_size": 128, "sym": true, "desc_act": false, "quantization_status": "compressed"}""";

    [Theory]
    [InlineData("compressed-tensors", 4, true, 128, 64, 256, "vLLM fast: Marlin kernels")]
    [InlineData("compressed-tensors", 4, true, 0, 64, 256, "vLLM fast: Marlin kernels")]
    [InlineData("compressed-tensors", 4, false, 32, 64, 256, "vLLM fast: Marlin kernels")]
    [InlineData("compressed-tensors", 8, true, 32, 64, 256, "vLLM fast: Marlin kernels")]
    [InlineData("compressed-tensors", 8, false, 32, 64, 256, "vLLM loads: general kernels; Marlin takes zero points with 4 bits only")]
    [InlineData("compressed-tensors", 4, true, 32, 32, 256, "vLLM loads: general kernels")]
    [InlineData("compressed-tensors", 4, true, 32, 64, 192, "vLLM loads: general kernels")]
    [InlineData("compressed-tensors", 3, true, 32, 64, 256, "vLLM loads: 2, 3, 5, 6 and 7 bits run by the Humming kernels")]
    [InlineData("compressed-tensors", 3, true, 32, 64, 256, "transformers loads: with compressed-tensors 0.18 or later")]
    [InlineData("compressed-tensors", 4, true, -1, 64, 256, "vLLM refuses: weight-only schemes are per channel or group")]
    [InlineData("gptq", 4, true, 128, 64, 256, "vLLM fast: Marlin kernels")]
    [InlineData("gptq", 4, false, 128, 64, 256, "vLLM loads: Marlin takes symmetric 4 and 8 bits")]
    [InlineData("gptq", 3, true, 128, 64, 256, "GPTQModel loads: from release 7 on")]
    [InlineData("gptq", 4, true, 128, 72, 256, "GPTQModel refuses: inputs and outputs come in multiples of 32")]
    [InlineData("awq", 4, false, 128, 64, 256, "AutoAWQ fast: GEMM kernels")]
    [InlineData("awq", 4, false, 128, 40, 256, "AutoAWQ refuses: outputs come in multiples of 32")]
    [InlineData("mlx", 3, true, 64, 64, 256, "MLX fast")]
    [InlineData("mlx", 3, true, 64, 96, 256, "MLX fast")]
    [InlineData("mlx", 3, true, 16, 64, 256, "MLX refuses: groups are of 32, 64 or 128")]
    [InlineData("gguf", 4, true, 32, 64, 256, "llama.cpp fast")]
    [InlineData("dense", 4, true, 32, 64, 256, "vLLM fast: plain floats")]
    public void AnEngineJudgesByItsOwnRules(string container, int bits, bool symmetric, int group, int rows, int columns, string expected)
    {
        IReadOnlyList<EngineVerdict> verdicts = Judge(container, Quantized, ("model.layers.0.mlp.down_proj", Grid(bits, symmetric, group), rows, columns));
        Assert.Contains(verdicts, verdict => Describe(verdict).StartsWith(expected, StringComparison.Ordinal));
        Assert.DoesNotContain(verdicts, verdict => verdict.Engine == "llama.cpp" && container != "gguf");
    }

    [Fact]
    public void FusedLinearsMustShareAGrid()
    {
        UniformGrid four = Grid(4, true, 128);
        IReadOnlyList<EngineVerdict> same = Judge("compressed-tensors", Quantized, ("a.q_proj", four, 64, 256), ("a.k_proj", four, 64, 256), ("a.v_proj", four, 64, 256));
        Assert.Contains(same, verdict => verdict is { Engine: "vLLM", Support: EngineSupport.Fast });
        IReadOnlyList<EngineVerdict> mixed = Judge("compressed-tensors", Quantized, ("a.gate_proj", four, 64, 256), ("a.up_proj", Grid(8, true, 128), 64, 256));
        Assert.Contains(mixed, verdict => Describe(verdict) == "vLLM refuses: a.up_proj has another grid than the linears that are fused with it");
    }

    [Theory]
    [InlineData("linear_attn.in_proj_qkv", "linear_attn.in_proj_z")]
    [InlineData("self_attn.q_a_proj", "self_attn.kv_a_proj_with_mqa")]
    [InlineData("feed_forward.w1", "feed_forward.w3")]
    public void ProjectionsOfRecurrentAndLatentMixersAreFusedToo(string first, string second)
    {
        UniformGrid four = Grid(4, true, 128), eight = Grid(8, true, 128);
        Assert.Contains(Judge("compressed-tensors", Quantized, (first, four, 64, 256), (second, four, 64, 256)), verdict => verdict is { Engine: "vLLM", Support: EngineSupport.Fast });
        Assert.Contains(
            Judge("compressed-tensors", Quantized, (first, four, 64, 256), (second, eight, 64, 256)),
            verdict => Describe(verdict) == $"vLLM refuses: {second} has another grid than the linears that are fused with it");
    }

    [Fact]
    public void MissingKeysCostTheFastPath()
    {
        (string, UniformGrid, int, int) linear = ("a.down_proj", Grid(4, true, 128), 64, 256);
        Assert.Contains(Judge("gptq", """{"bits": 4, "group_size": 128}""", linear), verdict => Describe(verdict) == "vLLM loads: Marlin needs sym, desc_act in the configuration");
        Assert.Contains(Judge("compressed-tensors", "{}", linear), verdict => verdict is { Engine: "transformers", Support: EngineSupport.Refuses });
    }

    private static UniformGrid Grid(int bits, bool symmetric, int group) => group switch
    {
        0 => new UniformGrid(bits, symmetric, Granularity.Channel),
        -1 => new UniformGrid(bits, symmetric, Granularity.Tensor),
        _ => new UniformGrid(bits, symmetric, Granularity.Group, group),
    };

    private static IReadOnlyList<EngineVerdict> Judge(string container, string config, params (string Module, UniformGrid Grid, int Rows, int Columns)[] linears) => EngineCatalog.Judge(
        new StoredModel(
            container, [.. linears.Select(linear => new ExportLinear(linear.Module, linear.Rows, linear.Columns, linear.Grid, ScaleType.Float16, false))], null,
            JsonNode.Parse(config)!.AsObject()));

    private static string Describe(EngineVerdict verdict) => $"{verdict.Engine} {verdict.Support.ToString().ToLowerInvariant()}: {verdict.Reason}";
}
