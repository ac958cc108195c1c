using LowRankQuant.Formats.Awq;
using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Gptq;
using LowRankQuant.Models.Export;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Verification.Engines;

/// <summary>vLLM: Marlin kernels for 4 and 8 bits (FORMATS 3.3, 3.5), general kernels for the rest; fused linears share a scheme.</summary>
internal sealed class VllmRules : IEngineRules
{
    private const string Name = "vLLM";

    // Marlin's tiles per shard.
    private const int MarlinInputs = 128, MarlinOutputs = 64;

    // What its GPTQ loader looks up without a default.
    private static readonly string[] GptqKeys = ["bits", "group_size", "sym", "desc_act"];

    /// <inheritdoc/>
    public EngineVerdict? Judge(StoredModel model) => model.Container switch
    {
        "dense" => new EngineVerdict(Name, EngineSupport.Fast, "plain floats"),
        CompressedTensorsConfig.QuantMethod => CompressedTensors(model),
        GptqConfig.QuantMethod or "auto-round" => Gptq(model),
        AwqConfig.QuantMethod => MarlinUnless(model, "the awq kernels"),
        _ => null,
    };

    private static EngineVerdict CompressedTensors(StoredModel model)
    {
        if (model.FirstMismatchedFusion() is { } other) return Refuse($"{other} has another grid than the linears that are fused with it");
        if (model.Quantizers is { } quantizers) return Activations(model, quantizers.Config);
        if (model.FirstThat(linear => linear.Grid.Granularity == Granularity.Tensor) is { } tensor) return Refuse($"weight-only schemes are per channel or group: {tensor}");
        if (model.FirstThat(linear => linear.Grid.Bits is not (4 or 8)) is { } width)
            return new EngineVerdict(Name, EngineSupport.Loads, $"2, 3, 5, 6 and 7 bits run by the Humming kernels of recent releases: {width}");
        return MarlinUnless(model, "general kernels");
    }

    private static EngineVerdict Activations(StoredModel model, CompressedTensorsConfig config)
    {
        if (config.KvCacheScheme is { Type: "int" }) return Refuse("integer key-value caches are not executed; fp8 ones are");
        return model.FirstThat(linear => !linear.Grid.Symmetric || linear.Grid.Bits != 8) is { } odd
            ? new EngineVerdict(Name, EngineSupport.Loads, $"integer activations run fast with symmetric int8 weights only: {odd}")
            : new EngineVerdict(Name, EngineSupport.Fast, "W8A8 by int8 matrix products");
    }

    private static EngineVerdict Gptq(StoredModel model)
    {
        if (model.FirstThat(linear => !linear.Grid.Symmetric || linear.Grid.Bits is not (4 or 8)) is { } odd)
            return new EngineVerdict(Name, EngineSupport.Loads, $"Marlin takes symmetric 4 and 8 bits, the slower gptq kernel the rest: {odd}");
        string[] missing = [.. GptqKeys.Where(key => model.Quantization?.ContainsKey(key) != true)];
        return missing.Length > 0 && model.Container == GptqConfig.QuantMethod
            ? new EngineVerdict(Name, EngineSupport.Loads, $"Marlin needs {string.Join(", ", missing)} in the configuration")
            : MarlinUnless(model, "the gptq kernel");
    }

    private static EngineVerdict MarlinUnless(StoredModel model, string otherwise) => model.FirstThat(linear => !FitsMarlin(linear)) is { } odd
        ? new EngineVerdict(
            Name, EngineSupport.Loads,
            $"{otherwise}; Marlin needs groups of 32, 64, 128 or rows, inputs in multiples of {MarlinInputs} and outputs of {MarlinOutputs}: {odd}")
        : new EngineVerdict(Name, EngineSupport.Fast, "Marlin kernels");

    private static bool FitsMarlin(ExportLinear linear) =>
        (linear.Grid.Granularity == Granularity.Channel || linear.Grid.GroupSize is 32 or 64 or 128)
        && linear.InFeatures % MarlinInputs == 0 && linear.OutFeatures % MarlinOutputs == 0;

    private static EngineVerdict Refuse(string why) => new(Name, EngineSupport.Refuses, why);
}
