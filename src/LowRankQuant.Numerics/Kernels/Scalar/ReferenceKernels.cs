using LowRankQuant.Numerics.Quantized;
namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>Hands the elements of tensors to <see cref="Reference"/>.</summary>
internal sealed class ReferenceKernels : IKernels
{
    public string Name => "scalar";

    public void Upload(ReadOnlySpan<float> source, Tensor destination) => source.CopyTo(destination.Span);

    public void Download(Tensor source, Span<float> destination) => source.Span.CopyTo(destination);

    public void Copy(Tensor source, Tensor destination) => source.Span.CopyTo(destination.Span);

    public void Fill(Tensor x, float value) => x.Span.Fill(value);

    public void Add(Tensor a, Tensor b, Tensor y)
    {
        Span<float> u = a.Span, v = b.Span, sum = y.Span;
        for (int i = 0; i < u.Length; i++) sum[i] = u[i] + v[i];
    }

    public void AddScaled(Tensor x, float factor, Tensor y)
    {
        Span<float> u = x.Span, sum = y.Span;
        for (int i = 0; i < u.Length; i++) sum[i] += factor * u[i];
    }

    public void Scale(Tensor x, float factor, Tensor y)
    {
        Span<float> u = x.Span, product = y.Span;
        for (int i = 0; i < u.Length; i++) product[i] = factor * u[i];
    }

    public void MatMul(Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor c, bool accumulate)
    {
        int m = transposeA ? a.Columns : a.Rows, k = transposeA ? a.Rows : a.Columns, n = transposeB ? b.Rows : b.Columns;
        Reference.MatMul<float>(a.Span, transposeA, b.Span, transposeB, m, n, k, c.Span, accumulate);
    }

    public void GramPanel(Tensor x, int column, Tensor y)
    {
        ReadOnlySpan<float> values = x.Span;
        Span<float> panel = y.Span;
        int n = x.Columns, wide = y.Columns;
        for (int i = 0; i < panel.Length; i++)
        {
            float sum = 0;
            for (int row = 0; row < x.Rows; row++) sum += values[(row * n) + column + (i / wide)] * values[(row * n) + column + (i % wide)];
            panel[i] = sum;
        }
    }

    public bool HasHalf => false;

    public void MatMulHalf(Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor c, bool accumulate)
    {
        int m = transposeA ? a.Columns : a.Rows, k = transposeA ? a.Rows : a.Columns, n = transposeB ? b.Rows : b.Columns;
        float[] left = Rounded(a.Span), right = Rounded(b.Span);
        Reference.MatMul<float>(left, transposeA, right, transposeB, m, n, k, c.Span, accumulate);

        static float[] Rounded(ReadOnlySpan<float> x)
        {
            var rounded = new float[x.Length];
            for (int i = 0; i < rounded.Length; i++) rounded[i] = BFloat16.ToSingle(BFloat16.FromSingle(x[i]));
            return rounded;
        }
    }

    public void AddRow(Tensor x, Tensor row)
    {
        Span<float> sum = x.Span, u = row.Span;
        for (int i = 0; i < sum.Length; i++) sum[i] += u[i % u.Length];
    }

    public void ColumnSums(Tensor x, Tensor sums, bool accumulate) => Reference.ColumnSums<float>(x.Span, sums.Span, accumulate);

    public void EmbeddingForward(Tensor table, ReadOnlySpan<int> ids, Tensor y)
    {
        int n = table.Columns;
        for (int i = 0; i < ids.Length; i++) table.Span.Slice(ids[i] * n, n).CopyTo(y.Span.Slice(i * n, n));
    }

    public void EmbeddingBackward(Tensor dy, ReadOnlySpan<int> ids, Tensor tableGradient)
    {
        int n = tableGradient.Columns;
        Span<float> from = dy.Span, to = tableGradient.Span;
        for (int i = 0; i < ids.Length * n; i++) to[(ids[i / n] * n) + (i % n)] += from[i];
    }

    public void RmsNormForward(Tensor x, Tensor weight, float epsilon, float weightOffset, Tensor y, Tensor inverseRms) =>
        Reference.RmsNormForward(x.Span, weight.Span, epsilon, weightOffset, y.Span, inverseRms.Span);

    public void RmsNormBackward(
        Tensor dy, Tensor x, Tensor weight, float weightOffset, Tensor inverseRms, Tensor dx, bool accumulate, Tensor? dWeight) =>
        Reference.RmsNormBackward(dy.Span, x.Span, weight.Span, weightOffset, inverseRms.Span, dx.Span, accumulate, Elements(dWeight));

    public void LayerNormForward(Tensor x, Tensor weight, Tensor? bias, float epsilon, Tensor y, Tensor mean, Tensor inverseDeviation) =>
        Reference.LayerNormForward(x.Span, weight.Span, Elements(bias), epsilon, y.Span, mean.Span, inverseDeviation.Span);

    public void LayerNormBackward(
        Tensor dy, Tensor x, Tensor weight, Tensor mean, Tensor inverseDeviation, Tensor dx, bool accumulate, Tensor? dWeight, Tensor? dBias) =>
        Reference.LayerNormBackward<float>(
            dy.Span, x.Span, weight.Span, mean.Span, inverseDeviation.Span, dx.Span, accumulate, Elements(dWeight), Elements(dBias));

    public void Rotate(
        Tensor x, Tensor cosine, Tensor sine, int headSize, bool interleaved, int sequenceLength, int positionOffset, bool inverse, Tensor y) =>
        Reference.Rotate<float>(
            x.Span, x.Columns, cosine.Span, sine.Span, cosine.Columns, headSize, interleaved, sequenceLength, positionOffset, inverse, y.Span);

    public void AttentionForward(in AttentionShape shape, in AttentionTerms terms, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp) =>
        Reference.AttentionForward<float>(shape, Elements(terms.KeyBias), Elements(terms.Sinks), q.Span, k.Span, v.Span, y.Span, logSumExp.Span);

    public void AttentionBackward(
        in AttentionShape shape, in AttentionTerms terms, Tensor dy, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp,
        Tensor dq, Tensor dk, Tensor dv) =>
        Reference.AttentionBackward<float>(
            shape, Elements(terms.KeyBias), dy.Span, q.Span, k.Span, v.Span, y.Span, logSumExp.Span, dq.Span, dk.Span, dv.Span);

    public void ConvolveForward(Tensor x, int length, Tensor weight, Tensor? bias, Tensor? tail, Tensor y) =>
        Reference.ConvolveForward<float>(x.Span, x.Columns, length, weight.Span, Elements(bias), Elements(tail), y.Span);

    public void ConvolveBackward(Tensor dy, int length, Tensor weight, Tensor dx) =>
        Reference.ConvolveBackward<float>(dy.Span, dy.Columns, length, weight.Span, dx.Span);

    public void DeltaRuleForward(in DeltaRuleShape shape, in DeltaRuleTerms terms, Tensor? start, Tensor y, Tensor? end, Tensor? states) =>
        Reference.DeltaRuleForward<float>(
            shape, terms.Q.Span, terms.K.Span, terms.V.Span, terms.LogDecay.Span, terms.Beta.Span, Elements(start), y.Span, Elements(end), Elements(states));

    public void DeltaRuleBackward(in DeltaRuleShape shape, in DeltaRuleTerms terms, Tensor states, Tensor dy, in DeltaRuleTerms gradients) =>
        Reference.DeltaRuleBackward<float>(
            shape, terms.Q.Span, terms.K.Span, terms.V.Span, terms.LogDecay.Span, terms.Beta.Span, states.Span, dy.Span,
            gradients.Q.Span, gradients.K.Span, gradients.V.Span, gradients.LogDecay.Span, gradients.Beta.Span);

    public void ActivationForward(Activation activation, Tensor x, Tensor y) => Reference.ActivationForward<float>(activation, x.Span, y.Span);

    public void ActivationBackward(Activation activation, Tensor dy, Tensor x, Tensor dx) =>
        Reference.ActivationBackward<float>(activation, dy.Span, x.Span, dx.Span);

    public void GatedActivationForward(Activation activation, Tensor gate, Tensor up, Tensor y) =>
        Reference.GatedActivationForward<float>(activation, gate.Span, up.Span, y.Span);

    public void GatedActivationBackward(Activation activation, Tensor dy, Tensor gate, Tensor up, Tensor dGate, Tensor dUp) =>
        Reference.GatedActivationBackward<float>(activation, dy.Span, gate.Span, up.Span, dGate.Span, dUp.Span);

    public void CurveForward(in Curve curve, Tensor x, Tensor y) => Reference.CurveForward<float>(curve, x.Span, y.Span);

    public void CurveBackward(in Curve curve, Tensor dy, Tensor x, Tensor dx) => Reference.CurveBackward<float>(curve, dy.Span, x.Span, dx.Span);

    public void ClampedGateForward(in ClampedGate constants, Tensor gate, Tensor up, Tensor y) =>
        Reference.ClampedGateForward<float>(constants, gate.Span, up.Span, y.Span);

    public void ClampedGateBackward(in ClampedGate constants, Tensor dy, Tensor gate, Tensor up, Tensor dGate, Tensor dUp) =>
        Reference.ClampedGateBackward<float>(constants, dy.Span, gate.Span, up.Span, dGate.Span, dUp.Span);

    public void Multiply(Tensor a, Tensor b, Tensor y)
    {
        Span<float> u = a.Span, v = b.Span, product = y.Span;
        for (int i = 0; i < u.Length; i++) product[i] = u[i] * v[i];
    }

    public void ScaleRows(Tensor x, Tensor factors, Tensor y) => Reference.ScaleRows<float>(x.Span, factors.Span, x.Columns, y.Span);

    public void CopyColumns(Tensor x, int start, int repeat, Tensor y, int place, int width) =>
        Reference.CopyColumns<float>(x.Span, x.Columns, start, repeat, y.Span, y.Columns, place, width);

    public void AddColumns(Tensor dy, int place, int repeat, Tensor dx, int start, int width) =>
        Reference.AddColumns<float>(dy.Span, dy.Columns, place, repeat, dx.Span, dx.Columns, start, width);

    public void RowDots(Tensor a, Tensor b, Tensor y) => Reference.RowDots<float>(a.Span, b.Span, a.Columns, y.Span);

    public double SquaredError(Tensor x, Tensor target, Tensor? rowWeights, float factor, Tensor? gradient) =>
        Reference.SquaredError<float>(x.Span, target.Span, x.Columns, Elements(rowWeights), factor, Elements(gradient));

    public void CrossEntropyForward(Tensor logits, ReadOnlySpan<int> targets, Tensor negativeLogLikelihood, Tensor logSumExp) =>
        Reference.CrossEntropyForward<float>(logits.Span, targets, negativeLogLikelihood.Span, logSumExp.Span);

    public void CrossEntropyBackward(Tensor logits, ReadOnlySpan<int> targets, Tensor logSumExp, float scale, Tensor dLogits) =>
        Reference.CrossEntropyBackward<float>(logits.Span, targets, logSumExp.Span, scale, dLogits.Span);

    public void SoftmaxStatistics(Tensor logits, Tensor logSumExp, Span<int> largest) =>
        Reference.SoftmaxStatistics<float>(logits.Span, logSumExp.Span, largest);

    public void KlDivergence(Tensor reference, Tensor logits, Span<double> divergence) =>
        Reference.KlDivergence<float>(reference.Span, logits.Span, divergence);

    public void GroupScaleForward(Tensor units, Tensor scale, Tensor y) => Reference.GroupScaleForward<float>(units.Span, scale.Span, y.Span);

    public void GroupScaleBackward(Tensor dy, Tensor units, Tensor dScale, bool accumulate) =>
        Reference.GroupScaleBackward<float>(dy.Span, units.Span, dScale.Span, accumulate);

    public void FakeQuantizeForward(in FakeQuantizeArguments arguments) =>
        Reference.FakeQuantizeForward<float>(
            arguments.Weight.Span, arguments.Weight.Columns, arguments.LogScale.Span, arguments.Zero.Span, Elements(arguments.Delta),
            Elements(arguments.RowOffset), Elements(arguments.ColumnOffset), arguments.MaxCode,
            arguments.Quantized.Span, Elements(arguments.Residue), arguments.Floats, Elements(arguments.Offset), Elements(arguments.Slope), arguments.Softness);

    public void FakeQuantizeBackward(in FakeQuantizeArguments arguments, in FakeQuantizeGradients gradients)
    {
        // First, for dD may overwrite G.
        if (arguments.Slope is not null)
            Reference.FakeQuantizeOffsetBackward<float>(gradients.Upstream.Span, arguments.LogScale.Span, arguments.Slope.Span, Elements(gradients.Offset), Elements(gradients.Zero));
        Reference.FakeQuantizeBackward<float>(
            gradients.Upstream.Span, arguments.Weight.Columns, arguments.Quantized.Span, Elements(arguments.Residue),
            Elements(gradients.Delta), gradients.LogScale.Span, Elements(gradients.RowOffset), Elements(gradients.ColumnOffset));
    }

    public void QuantizeActivations(in ActivationQuantizerArguments arguments, Tensor y) =>
        Reference.QuantizeActivations<float>(arguments.Grid, arguments.X.Span, arguments.X.Columns, arguments.Step.Span, arguments.ZeroPoint.Span, y.Span);

    public void ActivationCodes(in ActivationQuantizerArguments arguments, Span<sbyte> codes) =>
        Reference.ActivationCodes<float>(arguments.Grid, arguments.X.Span, arguments.X.Columns, arguments.Step.Span, arguments.ZeroPoint.Span, codes);

    public void MultiplyCodes(in IntegerProductArguments arguments, Tensor y) => Reference.MultiplyCodes(arguments.X, arguments.Weight, y.Span);

    public void QuantizeActivationsBackward(in ActivationQuantizerArguments arguments, in ActivationQuantizerGradients gradients) =>
        Reference.QuantizeActivationsBackward<float>(
            arguments.Grid, arguments.X.Span, arguments.X.Columns, arguments.Step.Span, arguments.ZeroPoint.Span, gradients.Upstream.Span, gradients.Accumulate,
            gradients.ThroughRange, Elements(gradients.Input), Elements(gradients.Step), Elements(gradients.ZeroPoint));

    public void AdamStep(in AdamArguments arguments) =>
        Reference.AdamStep(
            arguments.Parameters.Span, arguments.Gradient.Span, arguments.FirstMoment.Span, arguments.SecondMoment.Span,
            arguments.Rate, arguments.Step, AdamFactors.AsWritten(arguments.Beta1), AdamFactors.AsWritten(arguments.Beta2), arguments.Epsilon);

    private static Span<float> Elements(Tensor? x) => x is null ? default : x.Span;

    public void StateSpaceForward(in StateSpaceShape shape, in ScanInputs inputs, Tensor? start, Tensor y, Tensor? end, Tensor? chunkStates) =>
        Reference.StateSpaceForward<float>(
            shape, inputs.X.Span, inputs.B.Span, inputs.C.Span, inputs.StepSizes.Span, inputs.A.Span, inputs.D.Span, Elements(start), y.Span,
            Elements(end), Elements(chunkStates));

    public void StateSpaceBackward(in StateSpaceShape shape, in ScanInputs inputs, Tensor chunkStates, Tensor dy, in ScanGradients gradients) =>
        Reference.StateSpaceBackward<float>(
            shape, inputs.X.Span, inputs.B.Span, inputs.C.Span, inputs.StepSizes.Span, inputs.A.Span, inputs.D.Span, chunkStates.Span, dy.Span,
            gradients.X.Span, gradients.B.Span, gradients.C.Span, gradients.StepSizes.Span);

    public void SelectiveScanForward(in SelectiveScanShape shape, in ScanInputs inputs, Tensor? start, Tensor y, Tensor? end, Tensor? chunkStates) =>
        Reference.SelectiveScanForward<float>(
            shape, inputs.X.Span, inputs.B.Span, inputs.C.Span, inputs.StepSizes.Span, inputs.A.Span, inputs.D.Span, Elements(start), y.Span,
            Elements(end), Elements(chunkStates));

    public void SelectiveScanBackward(in SelectiveScanShape shape, in ScanInputs inputs, Tensor chunkStates, Tensor dy, in ScanGradients gradients) =>
        Reference.SelectiveScanBackward<float>(
            shape, inputs.X.Span, inputs.B.Span, inputs.C.Span, inputs.StepSizes.Span, inputs.A.Span, inputs.D.Span, chunkStates.Span, dy.Span,
            gradients.X.Span, gradients.B.Span, gradients.C.Span, gradients.StepSizes.Span);

    public void StepSizesForward(Tensor x, Tensor bias, float low, float high, Tensor y) =>
        Reference.StepSizesForward<float>(x.Span, bias.Span, low, high, y.Span);

    public void StepSizesBackward(Tensor dy, Tensor x, Tensor bias, float low, float high, Tensor dx) =>
        Reference.StepSizesBackward<float>(dy.Span, x.Span, bias.Span, low, high, dx.Span);
}
