using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Kernels;

/// <summary>Wrong shapes are refused by name.</summary>
public class KernelCheckTests(KernelTwins twins) : IClassFixture<KernelTwins>
{
    [Fact]
    public void EveryMismatchNamesItsArgument()
    {
        Tensor a = twins.Empty(4, 6), b = twins.Empty(4, 5), row = twins.Empty(6), four = twins.Empty(4);
        (string Name, Action<IKernels> Call)[] calls =
        [
            ("destination", k => k.Upload(new float[3], a)),
            ("source", k => k.Download(a, new float[3])),
            ("destination", k => k.Copy(a, b)),
            ("b", k => k.Add(a, b, a)),
            ("y", k => k.Scale(a, 1, b)),
            ("y", k => k.AddScaled(a, 1, b)),
            ("b", k => k.MatMul(a, false, b, false, a, false)),
            ("c", k => k.MatMul(a, true, b, false, a, false)),
            ("row", k => k.AddRow(a, four)),
            ("sums", k => k.ColumnSums(a, four, false)),
            ("ids", k => k.EmbeddingForward(a, [0, 4], twins.Empty(2, 6))),
            ("ids", k => k.EmbeddingBackward(twins.Empty(1, 6), [-1], a)),
            ("inverseRms", k => k.RmsNormForward(a, row, 0, 0, a, row)),
            ("dWeight", k => k.RmsNormBackward(a, a, row, 0, four, a, false, four)),
            ("bias", k => k.LayerNormForward(a, row, four, 0, a, four, four)),
            ("dBias", k => k.LayerNormBackward(a, a, row, four, four, a, false, row, four)),
            ("x", k => k.Rotate(a, twins.Empty(9, 1), twins.Empty(9, 1), 4, false, 4, 0, false, a)),
            ("cosine", k => k.Rotate(a, twins.Empty(9, 2), twins.Empty(9, 2), 3, false, 4, 0, false, a)),
            ("cosine", k => k.Rotate(a, twins.Empty(5, 1), twins.Empty(5, 1), 3, false, 4, 2, false, a)),
            ("many", k => k.CopyColumns(a, 0, 2, b, 0, 2)),
            ("few", k => k.CopyColumns(a, 5, 1, b, 0, 2)),
            ("many", k => k.AddColumns(b, 4, 1, a, 0, 2)),
            ("k", k => k.AttentionForward(new AttentionShape(1, 4, 4, 2, 1, 3, 1), default, a, a, a, a, four)),
            ("shape", k => k.AttentionForward(new AttentionShape(1, 4, 4, 3, 2, 2, 1), default, a, a, a, a, four)),
            ("shape", k => k.AttentionForward(new AttentionShape(1, 4, 3, 2, 2, 3, 1), default, a, a, a, a, four)),
            ("x", k => k.ConvolveForward(a, 3, a, null, null, a)),
            ("weight", k => k.ConvolveForward(a, 4, four, null, null, a)),
            ("bias", k => k.ConvolveForward(a, 4, twins.Empty(6, 2), four, null, a)),
            ("tail", k => k.ConvolveForward(a, 2, twins.Empty(6, 2), row, row, a)),
            ("dx", k => k.ConvolveBackward(a, 4, twins.Empty(6, 2), b)),
            ("shape", k => k.DeltaRuleForward(new DeltaRuleShape(1, 4, 2, 3, 3, 2), Delta(a, four), null, a, null, null)),
            ("Q", k => k.DeltaRuleForward(new DeltaRuleShape(1, 4, 1, 1, 5, 6), Delta(a, four), null, a, null, null)),
            ("LogDecay", k => k.DeltaRuleForward(new DeltaRuleShape(1, 4, 1, 1, 6, 6, true), Delta(a, four), null, a, null, null)),
            ("end", k => k.DeltaRuleForward(new DeltaRuleShape(1, 4, 1, 1, 6, 6), Delta(a, four), null, a, a, null)),
            ("states", k => k.DeltaRuleBackward(new DeltaRuleShape(2, 2, 1, 1, 6, 6), Delta(a, four), twins.Empty(6, 6), a, Delta(a, four))),
            ("Beta", k => k.DeltaRuleBackward(new DeltaRuleShape(1, 4, 1, 1, 6, 6), Delta(a, four), twins.Empty(6, 6), a, Delta(a, four) with { Beta = row })),
            ("activation", k => k.ActivationForward((Activation)9, a, a)),
            ("up", k => k.GatedActivationForward(Activation.Silu, a, b, a)),
            ("rowWeights", k => k.SquaredError(a, a, row, 1, null)),
            ("targets", k => k.CrossEntropyForward(a, [0, 1, 2, 6], four, four)),
            ("targets", k => k.CrossEntropyForward(a, [0, 1, 2], four, four)),
            ("largest", k => k.SoftmaxStatistics(a, four, new int[3])),
            ("reference", k => k.KlDivergence(b, a, new double[4])),
            ("scale", k => k.GroupScaleForward(a, twins.Empty(5), a)),
            ("y", k => k.GroupScaleForward(a, four, b)),
            ("dScale", k => k.GroupScaleBackward(a, a, twins.Empty(5), false)),
            ("dy", k => k.GroupScaleBackward(b, a, four, false)),
            ("scale", k => k.FakeQuantizeForward(Quantizer(twins.Empty(4, 4), 3))),
            ("arguments", k => k.FakeQuantizeForward(Quantizer(four, 0))),
            ("step", k => k.QuantizeActivations(Activations(ActivationScope.Tensor, twins.Empty(2)), a)),
            ("step", k => k.QuantizeActivations(Activations(ActivationScope.Head, four), a)),
            ("step", k => k.QuantizeActivations(Activations(ActivationScope.Token, row), a)),
            ("step", k => k.QuantizeActivations(Activations(ActivationScope.TokenHead, twins.Empty(4, 4)), a)),
            ("y", k => k.QuantizeActivations(Activations(ActivationScope.Token, four), b)),
            ("x", k => k.ActivationCodes(Activations(ActivationScope.Token, four), new sbyte[5])),
            ("dStep", k => k.QuantizeActivationsBackward(
                Activations(ActivationScope.Token, four), new ActivationQuantizerGradients { Upstream = a, Step = row })),
            ("gradients", k => k.QuantizeActivationsBackward(
                Activations(ActivationScope.Tensor, twins.Empty(1)), new ActivationQuantizerGradients { Upstream = a, Input = a, ThroughRange = true })),
            ("arguments", k => k.AdamStep(new AdamArguments { Parameters = a, Gradient = a, FirstMoment = a, SecondMoment = a, Rate = 1, Step = 0 })),
        ];
        static DeltaRuleTerms Delta(Tensor x, Tensor gate) => new(x, x, x, gate, gate);

        FakeQuantizeArguments Quantizer(Tensor logScale, int maxCode) =>
            new() { Weight = a, LogScale = logScale, Zero = four, MaxCode = maxCode, Quantized = a };

        ActivationQuantizerArguments Activations(ActivationScope scope, Tensor step) => new() { Grid = new ActivationGrid(8, false, scope), X = a, Step = step, ZeroPoint = step };

        foreach ((string name, Action<IKernels> call) in calls)
        {
            Assert.Equal(name, Assert.ThrowsAny<ArgumentException>(() => call(twins.Scalar)).ParamName);
            Assert.ThrowsAny<ArgumentException>(() => call(twins.Simd(128, 1)));
        }
    }
}
