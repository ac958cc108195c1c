using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods.Layerwise;
using LowRankQuant.Quantization.Methods.Lrq;
using LowRankQuant.Quantization.Methods.Reconstruction;

namespace LowRankQuant.Quantization.Methods.LrqPlus;

/// <summary>lrq+, resolved.</summary>
internal sealed record LrqPlusSettings : ReconstructionSettings
{
    /// <summary>The form of D.</summary>
    public required ScaleForm Scales { get; init; }

    /// <summary>Inner dimension of L2 U2; 0 for other forms.</summary>
    public required int Rank { get; init; }

    /// <summary>Whether V is learned.</summary>
    public required bool HasOffsets { get; init; }

    /// <summary>Whether zero points are learned.</summary>
    public required bool HasZeroPoints { get; init; }

    /// <summary>The codes that learning begins at.</summary>
    public required FirstCodes Codes { get; init; }

    /// <summary>The method that finds them; null where nobody has to.</summary>
    public required MethodSettings? Before { get; init; }

    /// <inheritdoc/>
    public override string Method => "lrq+";

    /// <inheritdoc/>
    public override bool FitsLayers => Before is not null;

    /// <inheritdoc/>
    protected override bool TakesStart => base.TakesStart && Before is null;

    /// <inheritdoc/>
    protected override IEnumerable<KeyValuePair<string, string>> Own =>
    [
        LrqPlusMethod.Scales.With(Scales), .. Scales == ScaleForm.LowRank ? new[] { LrqMethod.Rank.With(Rank) } : [], LrqPlusMethod.Offsets.With(HasOffsets),
        LrqPlusMethod.ZeroPoints.With(HasZeroPoints), LrqPlusMethod.Codes.With(Codes), LrqPlusMethod.Harden.With(Steps.Harden),
    ];

    /// <inheritdoc/>
    internal override IRoundingForm Form => new ScaledRounding(PartsOf);

    /// <inheritdoc/>
    public override IReadOnlyList<TimedPart> TimedParts =>
        Before is null ? base.TimedParts : [.. Before.TimedParts, Timed(this with { Before = null, Codes = FirstCodes.Grid })];

    /// <inheritdoc/>
    public override IBlockMethod Create() =>
        Before is null ? base.Create() : new ResidualMethod(Before.Create(), new BlockReconstruction(Steps, Form)) { Name = $"{Method} from {Before.Method}" };

    /// <inheritdoc/>
    public override string Describe()
    {
        string scales = Scales switch
        {
            ScaleForm.LowRank => $"scaling matrices of rank {Rank}",
            ScaleForm.Full => "a scale for every weight",
            _ => "",
        };
        string offsets = HasOffsets ? scales.Length > 0 ? " and offsets" : "offsets" : "", zeros = HasZeroPoints ? " and zero points" : "";
        string first = Before is null ? $"first {GridNames.Describe(Start)}" : $"from the codes of {Before.Method}";
        return $"rounding learned with {scales}{offsets}{zeros}, {(Steps.Harden ? "hardened on the way, " : "")}{first}";
    }

    private RoundingParts PartsOf(int outFeatures, int inFeatures) => new(ShapeOf(outFeatures, inFeatures)) { HasOffsets = HasOffsets, HasZeroPoints = HasZeroPoints };

    private ScaleShape ShapeOf(int outFeatures, int inFeatures) => Scales switch
    {
        ScaleForm.LowRank => ScaleShape.LowRankFor(outFeatures, inFeatures, Rank),
        ScaleForm.Full => new ScaleShape(ScaleForm.Full, 0),
        _ => new ScaleShape(ScaleForm.None, 0) { HasRowOffset = false },
    };
}
