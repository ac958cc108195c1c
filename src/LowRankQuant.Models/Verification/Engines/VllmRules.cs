using LowRankQuant.Formats.Awq;
using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Engines;
using LowRankQuant.Formats.Gptq;
using LowRankQuant.Models.Export;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Verification.Engines;

/// <summary>vLLM: Marlin kernels for 4 and 8 bits , general kernels for the rest; fused linears share a scheme.</summary>
internal sealed class VllmRules : IEngineRules
{
    private static readonly EngineRules Rules = EngineTable.Vllm;

    /// <inheritdoc/>
    public EngineVerdict? Judge(StoredModel model) => model.TiedByHeadAlone && model.Container != "gguf"
        ? Refuse("it skips the head of tied models, and the folder stores the shared matrix under the head's name alone (by its source, not run)")
        : ByContainer(model);

    private static EngineVerdict? ByContainer(StoredModel model) => model.Container switch
    {
        "dense" => new EngineVerdict(Rules, EngineSupport.Fast, "plain floats"),
        CompressedTensorsConfig.QuantMethod => CompressedTensors(model),
        GptqConfig.QuantMethod or "auto-round" => Gptq(model),
        AwqConfig.QuantMethod => MarlinUnless(model, "the awq kernels"),
        _ => null,
    };

    private static EngineVerdict CompressedTensors(StoredModel model)
    {
        if (model.FirstMismatchedFusion() is { } other) return Refuse($"{other} has another grid than the linears that are fused with it");
        if (model.TiedTable is { } table)
            return Refuse($"{table.Module} is quantized and the head too, and its models share an embedding of floats alone (by its pull request 45535, open on 2026-06-13; not run)");
        if (model.FloatFormats.Count > 0 && model.Linears.Count == 0) return Floats(model);
        if (model.Quantizers is { } quantizers) return Activations(model, quantizers.Config);
        if (model.FirstThat(linear => linear.Grid.Granularity == Granularity.Tensor) is { } tensor) return Refuse($"weight-only schemes are per channel or group: {tensor}");
        if (model.FirstThat(linear => !Rules.Widths.Contains(linear.Grid.Bits)) is { } width)
            return new EngineVerdict(Rules, EngineSupport.Loads, $"2, 3, 5, 6 and 7 bits run by the Humming kernels of recent releases: {width}");
        return model.FirstThat(linear => !linear.Grid.Symmetric && !EngineTable.VllmZeroPointWidths.Contains(linear.Grid.Bits)) is { } zeros
            ? new EngineVerdict(Rules, EngineSupport.Loads, $"general kernels; Marlin takes zero points with {EngineRules.Words(EngineTable.VllmZeroPointWidths)} bits only: {zeros}")
            : MarlinUnless(model, "general kernels");
    }

    // Source: quantization/compressed_tensors/compressed_tensors.py and schemes/; not run.
    private static EngineVerdict Floats(StoredModel model)
    {
        if (model.Quantizers is { } quantizers)
        {
            return quantizers.Config.KvCacheScheme is { Type: "int" } ? Refuse("integer key-value caches are not executed; fp8 ones are")
                : new EngineVerdict(Rules, EngineSupport.Fast, "W8A8 by products of 8-bit floats on GPUs that have them, else the weights alone by Marlin kernels (by its source, not run)");
        }
        return model.FloatFormats.Contains("mxfp8-quantized")
            ? new EngineVerdict(Rules, EngineSupport.Loads, "8-bit floats in groups of 32 without quantized inputs run in recent releases only (by its source, not run)")
            : new EngineVerdict(Rules, EngineSupport.Fast, "float weights alone by Marlin kernels (by its source, not run)");
    }

    private static EngineVerdict Activations(StoredModel model, CompressedTensorsConfig config)
    {
        if (config.KvCacheScheme is { Type: "int" }) return Refuse("integer key-value caches are not executed; fp8 ones are");
        return model.FirstThat(linear => !linear.Grid.Symmetric || linear.Grid.Bits != 8) is { } odd
            ? new EngineVerdict(Rules, EngineSupport.Loads, $"integer activations run fast with symmetric int8 weights only: {odd}")
            : new EngineVerdict(Rules, EngineSupport.Fast, "W8A8 by int8 matrix products");
    }

    private static EngineVerdict Gptq(StoredModel model)
    {
        if (model.FirstThat(linear => !linear.Grid.Symmetric || !Rules.Widths.Contains(linear.Grid.Bits)) is { } odd)
            return new EngineVerdict(Rules, EngineSupport.Loads, $"Marlin takes symmetric 4 and 8 bits, the slower gptq kernel the rest: {odd}");
        string[] missing = [.. EngineTable.VllmGptqKeys.Where(key => model.Quantization?.ContainsKey(key) != true)];
        return missing.Length > 0 && model.Container == GptqConfig.QuantMethod
            ? new EngineVerdict(Rules, EngineSupport.Loads, $"Marlin needs {string.Join(", ", missing)} in the configuration")
            : MarlinUnless(model, "the gptq kernel");
    }

    private static EngineVerdict MarlinUnless(StoredModel model, string otherwise) => model.FirstThat(linear => !FitsMarlin(linear)) is { } odd
        ? new EngineVerdict(
            Rules, EngineSupport.Loads,
            $"{otherwise}; Marlin needs groups of {string.Join(", ", Rules.GroupSizes)} or rows, inputs in multiples of {Rules.InputTile} and outputs of {Rules.OutputTile}: {odd}")
        : new EngineVerdict(Rules, EngineSupport.Fast, "Marlin kernels");

    private static bool FitsMarlin(ExportLinear linear) =>
        (linear.Grid.Granularity == Granularity.Channel || Rules.GroupSizes.Contains(linear.Grid.GroupSize))
        && linear.InFeatures % Rules.InputTile == 0 && linear.OutFeatures % Rules.OutputTile == 0;

    private static EngineVerdict Refuse(string why) => new(Rules, EngineSupport.Refuses, why);
}
