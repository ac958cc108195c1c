using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Targets;

/// <summary>
/// What vLLM asks of a compressed-tensors checkpoint beyond its layout (specification FORMATS 3.3). q, k, v and gate, up are one matrix each when they
/// run, so they share a scheme. With N shards, outputs of q, k, v, gate, up and inputs of the layers behind them are cut into N parts, and the fast
/// kernel (Marlin; 4 and 8 bits) takes parts of a multiple of 64 outputs and 128 inputs, per channel or in groups of 32, 64 or 128.
/// </summary>
internal static class VllmRules
{
    private const int OutputTile = 64;
    private const int InputTile = 128;

    /// <summary>Layers that are fused: each set has one scheme.</summary>
    public static IReadOnlyList<IReadOnlyList<string>> Fused { get; } =
        [["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], ["mlp.gate_proj", "mlp.up_proj"]];

    /// <summary>Why vLLM does not take a layer; null when it does.</summary>
    public static string? Misfit(TargetLayer layer, UniformGrid grid)
    {
        bool cutsOutputs = Fused.Any(set => set.Contains(layer.Name));
        int shards = layer.TensorParallel, cut = cutsOutputs ? layer.OutFeatures : layer.InFeatures;
        if (cut % shards != 0) return $"its {cut} {(cutsOutputs ? "outputs" : "inputs")} do not divide into {shards} shards";
        int outputs = cutsOutputs ? layer.FusedOutFeatures / shards : layer.OutFeatures, inputs = cutsOutputs ? layer.InFeatures : layer.InFeatures / shards;
        string each = shards == 1 ? "" : $" in each of {shards} shards";
        if (grid.Granularity == Granularity.Group && inputs % grid.GroupSize != 0) return $"groups of {grid.GroupSize} do not divide {inputs} inputs{each}";
        if (grid.Bits is not (4 or 8)) return null;
        if (outputs % OutputTile != 0) return $"its kernel takes outputs in multiples of {OutputTile}, and there are {outputs}{each}";
        if (inputs % InputTile != 0) return $"its kernel takes inputs in multiples of {InputTile}, and there are {inputs}{each}";
        if (grid.Granularity == Granularity.Group && grid.GroupSize is not (32 or 64 or 128)) return $"its kernel takes groups of 32, 64, 128 or whole rows, not {grid.GroupSize}";
        return null;
    }

    /// <summary>What to know about a grid that fits.</summary>
    public static string? Note(UniformGrid grid) => grid.Bits is 4 or 8
        ? null
        : $"codes of {grid.Bits} bits run in recent releases of vLLM only (its Humming kernels); the fast kernel takes 4 and 8";
}
