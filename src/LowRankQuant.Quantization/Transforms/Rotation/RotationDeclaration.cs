using LowRankQuant.Models;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Transforms.Rotation;

/// <summary>The rotations that are folded for good as a stage of recipes.</summary>
public sealed class RotationDeclaration : TransformDeclaration
{
    private static readonly RecipeOption<bool> Stream = Declare.Flag("stream", "Rotate the residual stream of the whole model (R1)", "true");

    private static readonly RecipeOption<bool> Values = Declare.Flag("values", "Rotate the heads of values (R2)", "true");

    /// <inheritdoc/>
    public override string Name => "rotation";

    /// <inheritdoc/>
    public override string Summary => "randomized Hadamard rotations of residual stream and values, folded into the weights";

    /// <inheritdoc/>
    public override IReadOnlyList<RecipeOption> Options => [Stream, Values];

    /// <inheritdoc/>
    public override TransformSettings Resolve(OptionValues values, List<string> problems)
    {
        var settings = new Settings(values.Or(Stream, true), values.Or(Values, true));
        if (settings is { Stream: false, OfValues: false }) problems.Add("`stream` false and `values` false leave nothing to rotate; leave the rotation out.");
        return settings;
    }

    private sealed record Settings(bool Stream, bool OfValues) : TransformSettings
    {
        public override string Name => "rotation";

        public override IReadOnlyList<KeyValuePair<string, string>> Values => [RotationDeclaration.Stream.With(Stream), RotationDeclaration.Values.With(OfValues)];

        public override bool NeedsInputs => false;

        public override bool ChangesStream => Stream;

        public override IBlockTransform Create(CausalModel model, ulong seed) => new RotationTransform(model, new RotationOptions { Stream = Stream, Values = OfValues, Seed = seed });

        public override string Describe() => $"rotation of {(Stream ? OfValues ? "stream and values" : "the stream" : "values")}";
    }
}
