using LowRankQuant.Formats.Engines;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Targets;

/// <summary>
/// What vLLM asks of a compressed-tensors checkpoint beyond its layout (specification FORMATS 3.3). q, k, v and gate, up are one matrix each when they
/// run, so they share a scheme; so do q_a and kv_a of a latent attention, and the two projections of the gated delta rule. With N shards, outputs of q, k, v, gate, up, q_b and kv_b
/// and of a recurrent mixer's input projections, and inputs of the layers behind them, are cut into N parts, those that make latents stay whole, and the fast kernel (Marlin; 4 and 8 bits) takes parts of a multiple of 64 outputs and 128 inputs, per channel or in groups
/// of 32, 64 or 128.
/// </summary>
internal static class VllmRules
{
    private static readonly EngineRules Marlin = EngineTable.Vllm;

    /// <summary>Why vLLM does not take a layer; null when it does.</summary>
    public static string? Misfit(TargetLayer layer, UniformGrid grid)
    {
        bool cutsOutputs = EngineTable.VllmCutsOutputs(layer.Name);
        int shards = EngineTable.VllmKeepsWhole(layer.Name) ? 1 : layer.TensorParallel, cut = cutsOutputs ? layer.OutFeatures : layer.InFeatures;
        if (cut % shards != 0) return $"its {cut} {(cutsOutputs ? "outputs" : "inputs")} do not divide into {shards} shards";
        int outputs = layer.FusedOutFeatures / (cutsOutputs ? shards : 1), inputs = cutsOutputs ? layer.InFeatures : layer.InFeatures / shards;
        string each = shards == 1 ? "" : $" in each of {shards} shards";
        if (grid.Granularity == Granularity.Group && inputs % grid.GroupSize != 0) return $"groups of {grid.GroupSize} do not divide {inputs} inputs{each}";
        if (!Marlin.Widths.Contains(grid.Bits)) return null;
        if (outputs % Marlin.OutputTile != 0) return $"its kernel takes outputs in multiples of {Marlin.OutputTile}, and there are {outputs}{each}";
        if (inputs % Marlin.InputTile != 0) return $"its kernel takes inputs in multiples of {Marlin.InputTile}, and there are {inputs}{each}";
        if (grid.Granularity == Granularity.Group && !Marlin.GroupSizes.Contains(grid.GroupSize))
            return $"its kernel takes groups of {string.Join(", ", Marlin.GroupSizes)} or whole rows, not {grid.GroupSize}";
        return null;
    }

    /// <summary>
    /// Why vLLM does not take a layer of floats; null when it does. Matrices of blocks are cut along whole blocks, and fused ones where a part ends with its block.
    /// </summary>
    public static string? Misfit(TargetLayer layer, FloatGrid grid)
    {
        bool cutsOutputs = EngineTable.VllmCutsOutputs(layer.Name);
        int shards = EngineTable.VllmKeepsWhole(layer.Name) ? 1 : layer.TensorParallel, cut = cutsOutputs ? layer.OutFeatures : layer.InFeatures;
        if (cut % shards != 0) return $"its {cut} {(cutsOutputs ? "outputs" : "inputs")} do not divide into {shards} shards";
        int inputs = cutsOutputs ? layer.InFeatures : layer.InFeatures / shards, outputs = cutsOutputs ? layer.OutFeatures / shards : layer.OutFeatures;
        string each = shards == 1 ? "" : $" in each of {shards} shards";
        if (grid.GroupSize > 0 && inputs % grid.GroupSize != 0) return $"groups of {grid.GroupSize} do not divide {inputs} inputs{each}";
        bool parts = shards > 1 || layer.FusedOutFeatures != layer.OutFeatures;
        return grid.GroupRows > 1 && cutsOutputs && parts && outputs % grid.GroupRows != 0 ? $"blocks of {grid.GroupRows} rows do not divide {outputs} outputs{each}, and it is one of several in a matrix" : null;
    }

    /// <summary>What to know about a grid of floats that fits.</summary>
    public static string? Note(FloatGrid grid) => grid.Scaling == FloatScaling.PowerOfTwo ? $"{grid} without quantized inputs runs in recent releases of vLLM only" : null;

    /// <summary>What to know about a grid that fits.</summary>
    public static string? Note(UniformGrid grid) =>
        !Marlin.Widths.Contains(grid.Bits)
            ? $"codes of {grid.Bits} bits run in recent releases of vLLM only (its Humming kernels); the fast kernel takes {EngineRules.Words(Marlin.Widths, "and")}"
        : !grid.Symmetric && !EngineTable.VllmZeroPointWidths.Contains(grid.Bits)
            ? $"{grid.Bits} bits with zero points run by slower kernels of vLLM; the fast kernel takes zero points with {EngineRules.Words(EngineTable.VllmZeroPointWidths)} bits"
        : null;
}
