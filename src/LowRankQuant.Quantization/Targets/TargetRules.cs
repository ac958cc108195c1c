using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Engines;
using LowRankQuant.Formats.Gguf.Grids;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Targets;

/// <summary>
/// What each target can hold without rounding (specification FORMATS 3.3 to 3.12):
/// <code>
/// llama.cpp           what lies in GGUF blocks exactly, halves as scales
/// compressed-tensors  any uniform grid of 2 to 8 bits, and all grids of floats
/// vllm                the same per channel or group, and <see cref="VllmRules"/>
/// gptq (v2)           2, 3, 4, 8 bits per channel or group; in bits and out bits whole words; halves as scales
/// awq                 4 bits per channel or group, out a multiple of 32; halves as scales
/// mlx                 2 to 6 and 8 bits, groups of 32, 64, 128 (larger ones by repeating); a scale times a code or a zero point must be a number of the
///                     stored type, so scales keep only so many significant bits, or float minima
/// Float minima of others: llama.cpp's Q4_1 and Q5_1; no other target has a place for them.
/// </code>
/// </summary>
internal static class TargetRules
{
    private const int WordBits = 32;
    private const int HalfDigits = 11;
    private const int BFloat16Digits = 8;
    private static readonly int[] GroupSizes = [16, 32, 64, 128, 256];
    private static readonly EngineRules GptqModel = EngineTable.GptqModel, AutoAwq = EngineTable.AutoAwq, MlxLm = EngineTable.Mlx;
    private static readonly int[] MlxGroups = [.. MlxLm.GroupSizes.OrderDescending()];

    /// <summary>Looks at one layer.</summary>
    public static TargetFit Fit(Target target, TargetLayer layer)
    {
        if (target == Target.LlamaCpp) return LlamaCpp(layer);
        TargetFit fit = Check(target, layer);
        if (fit.Misfit is null) return fit;
        UniformGrid? nearest = Candidates(layer).FirstOrDefault(grid => Check(target, layer with { Grid = grid }).Misfit is null);
        return nearest is null ? fit : Check(target, layer with { Grid = nearest }) with { Misfit = fit.Misfit, Nearest = nearest };
    }

    /// <summary>The type of scales that a target asks for; null where the source's own will do.</summary>
    public static ScaleType? RequiredScaleType(Target target) => target switch
    {
        Target.LlamaCpp or Target.Gptq or Target.Awq => ScaleType.Float16,
        _ => null,
    };

    /// <summary>Whether a target takes scales of a type.</summary>
    public static bool Takes(Target target, ScaleType type) => RequiredScaleType(target) switch
    {
        { } required => type == required,
        null => target == Target.CompressedTensors || type != ScaleType.Float32,
    };

    private static TargetFit LlamaCpp(TargetLayer layer)
    {
        if (layer.IsUsuallyFloats) return new TargetFit { Misfit = "GGUF files hold routers and other small gates as floats" };
        int digits = GgufFit.ScaleBits(layer.Grid, layer.InFeatures);
        GgufFit fit = GgufFit.Of(layer.Grid, layer.InFeatures, ScaleType.Float16, digits);
        if (fit.Type is { } type)
        {
            double own = (double)layer.Grid.StoredBits(layer.OutFeatures, layer.InFeatures, ScaleType.Float16) / ((double)layer.OutFeatures * layer.InFeatures);
            return new TargetFit
            {
                Container = type.ToString(),
                BitsPerWeight = fit.BitsPerWeight,
                ScaleDigits = digits < HalfDigits ? digits : null,
                // Half a bit is what blocks usually cost; more is worth a word.
                Note = fit.BitsPerWeight > own + 0.5
                    ? FormattableString.Invariant($"{layer.Grid} takes {own:0.###} bits per weight here and {fit.BitsPerWeight:0.###} in llama.cpp's {type} blocks")
                    : null,
            };
        }
        return fit.Nearest?.Grid is { } nearest
            ? LlamaCpp(layer with { Grid = nearest }) with { Misfit = fit.Reason, Nearest = nearest, Note = null }
            : new TargetFit { Misfit = fit.Reason };
    }

    private static TargetFit Check(Target target, TargetLayer layer)
    {
        string name = TargetNames.Of(target);
        if (layer.Grid is FloatGrid floats) return Floats(target, layer, floats);
        if (layer.Grid is AffineGrid affine) return Minima(target, layer, affine);
        if (layer.Grid is not UniformGrid grid) return new TargetFit { Misfit = $"{name} has no place for scales in two levels ({layer.Grid})" };
        if (!grid.Divides(layer.InFeatures)) return new TargetFit { Misfit = $"{grid} does not divide rows of {layer.InFeatures}" };
        if (grid.Granularity == Granularity.Tensor && target != Target.CompressedTensors) return new TargetFit { Misfit = $"{name} has no scale for a whole matrix" };
        string? misfit = target switch
        {
            Target.Vllm => VllmRules.Misfit(layer, grid),
            Target.Gptq => Gptq(layer, grid),
            Target.Awq => Awq(layer, grid),
            Target.Mlx => Mlx(layer, grid),
            _ => null,
        };
        if (misfit is not null) return new TargetFit { Misfit = misfit };
        int? digits = target == Target.Mlx ? (layer.ScaleType == ScaleType.Float16 ? HalfDigits : BFloat16Digits) - grid.Bits : null;
        return new TargetFit { Container = name, BitsPerWeight = Bits(target, layer, grid), ScaleDigits = digits, Note = target == Target.Vllm ? VllmRules.Note(grid) : null };
    }

    private static TargetFit Floats(Target target, TargetLayer layer, FloatGrid grid)
    {
        string name = TargetNames.Of(target);
        if (target is not (Target.Vllm or Target.CompressedTensors)) return new TargetFit { Misfit = $"{name} has no place for codes that are floats ({grid})" };
        if (!grid.Divides(layer.InFeatures)) return new TargetFit { Misfit = $"{grid} does not divide rows of {layer.InFeatures}" };
        if (target == Target.Vllm && VllmRules.Misfit(layer, grid) is { } misfit) return new TargetFit { Misfit = misfit };
        double bits = (double)grid.StoredBits(layer.OutFeatures, layer.InFeatures, layer.ScaleType) / ((double)layer.OutFeatures * layer.InFeatures);
        return new TargetFit { Container = FloatTensors.FormatOf(grid), BitsPerWeight = bits, Note = target == Target.Vllm ? VllmRules.Note(grid) : null };
    }

    private static TargetFit Minima(Target target, TargetLayer layer, AffineGrid grid)
    {
        string name = TargetNames.Of(target);
        if (target != Target.Mlx) return new TargetFit { Misfit = $"{name} has no place for a float minimum per group ({grid})" };
        if (!grid.Divides(layer.InFeatures)) return new TargetFit { Misfit = $"{grid} does not divide rows of {layer.InFeatures}" };
        if (Mlx(layer, grid) is { } misfit) return new TargetFit { Misfit = misfit };
        return new TargetFit
        {
            Container = name,
            BitsPerWeight = Bits(target, layer, grid),
            Note = $"{grid}: mlx computes a code times its scale, and that plus the minimum, each rounded to {layer.ScaleType}",
        };
    }

    private static string? Gptq(TargetLayer layer, UniformGrid grid) =>
        !GptqModel.Widths.Contains(grid.Bits) ? $"gptq stores {EngineRules.Words(GptqModel.Widths)} bits, not {grid.Bits}"
        : (long)layer.InFeatures * grid.Bits % WordBits != 0 || layer.InFeatures % GptqModel.InputTile != 0 ? $"gptq packs {GptqModel.InputTile} inputs at a time, and rows have {layer.InFeatures}"
        : layer.OutFeatures % GptqModel.OutputTile != 0 ? $"gptq packs zero points of {GptqModel.OutputTile} outputs at a time, and there are {layer.OutFeatures}"
        : null;

    private static string? Awq(TargetLayer layer, UniformGrid grid) =>
        !AutoAwq.Widths.Contains(grid.Bits) ? $"awq stores {EngineRules.Words(AutoAwq.Widths)} bits, not {grid.Bits}"
        : layer.OutFeatures % AutoAwq.OutputTile != 0 ? $"awq packs {AutoAwq.OutputTile} outputs at a time, and there are {layer.OutFeatures}"
        : null;

    private static string? Mlx(TargetLayer layer, WeightGrid grid) =>
        !MlxLm.Widths.Contains(grid.Bits) ? $"mlx stores {EngineRules.Words(MlxLm.Widths)} bits, not {grid.Bits}"
        : !MlxGroups.Any(size => layer.GroupSize % size == 0) ? $"mlx has groups of {EngineRules.Words(MlxLm.GroupSizes, "and")}, and {layer.GroupSize} is no multiple of any"
        : layer.ScaleType == ScaleType.BFloat16 && grid.Bits >= BFloat16Digits ? "mlx computes in the type of the scales, and bf16 has no digits left for codes of 8 bits; give `scale_dtype` fp16"
        : null;

    // Beside scales GPTQ and AWQ store zero points even where the grid is symmetric, GPTQ the group of every column, and MLX floats as large as the scales.
    private static double Bits(Target target, TargetLayer layer, WeightGrid grid)
    {
        const int scaleBits = 16;
        int group = target == Target.Mlx ? MlxGroups.First(size => layer.GroupSize % size == 0) : layer.GroupSize;
        return target switch
        {
            Target.Mlx => grid.Bits + (2.0 * scaleBits / group),
            Target.Gptq => grid.Bits + ((double)(scaleBits + grid.Bits) / group) + (32.0 / layer.OutFeatures),
            Target.Awq => grid.Bits + ((double)(scaleBits + grid.Bits) / group),
            _ => (double)grid.StoredBits(layer.OutFeatures, layer.InFeatures, layer.ScaleType) / ((double)layer.OutFeatures * layer.InFeatures),
        };
    }

    /// <summary>Grids from near to far: the same width first, groups by their distance, then other widths upwards.</summary>
    private static IEnumerable<UniformGrid> Candidates(TargetLayer layer)
    {
        int[] sizes = [.. GroupSizes.Append(layer.GroupSize).Append(layer.InFeatures).Distinct().Where(size => layer.InFeatures % size == 0)
            .OrderBy(size => Math.Abs(Math.Log2((double)size / layer.GroupSize)))];
        IEnumerable<int> wider = Enumerable.Range(layer.Grid.Bits, UniformGrid.MaxBits - layer.Grid.Bits + 1);
        IEnumerable<int> narrower = Enumerable.Range(UniformGrid.MinBits, layer.Grid.Bits - UniformGrid.MinBits).Reverse();
        foreach (int bits in wider.Concat(narrower))
        {
            foreach (bool symmetric in new[] { layer.Grid.Symmetric, !layer.Grid.Symmetric })
            {
                foreach (int size in sizes)
                    yield return size == layer.InFeatures ? new UniformGrid(bits, symmetric, Granularity.Channel) : new UniformGrid(bits, symmetric, Granularity.Group, size);
            }
        }
    }
}
