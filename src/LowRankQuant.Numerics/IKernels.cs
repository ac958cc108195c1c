namespace LowRankQuant.Numerics;

/// <summary>
/// The operations of a device, at the level of the formulas that use them. Tensors are row-major 32-bit floats of one device; unless said otherwise a
/// tensor is seen as a matrix [Rows, Columns] where the columns are its last dimension. Outputs never overlap inputs unless a member says so.
/// Every result is the same for every number of threads. Shapes are checked: a mismatch throws <see cref="ArgumentException"/>.
/// </summary>
public interface IKernels
{
    /// <summary>Short name for reports, such as <c>simd AVX-512</c>.</summary>
    string Name { get; }

    /// <summary>Copies host values into a tensor.</summary>
    void Upload(ReadOnlySpan<float> source, Tensor destination);

    /// <summary>Copies a tensor into host memory.</summary>
    void Download(Tensor source, Span<float> destination);

    /// <summary>destination = source.</summary>
    void Copy(Tensor source, Tensor destination);

    /// <summary>x = value.</summary>
    void Fill(Tensor x, float value);

    /// <summary>y = a + b; y may be a or b.</summary>
    void Add(Tensor a, Tensor b, Tensor y);

    /// <summary>y += factor * x.</summary>
    void AddScaled(Tensor x, float factor, Tensor y);

    /// <summary>y = factor * x; y may be x.</summary>
    void Scale(Tensor x, float factor, Tensor y);

    /// <summary>c [m, n] = op(a) op(b), or c += op(a) op(b); op(a) is [m, k], op(b) is [k, n], transposed when asked.</summary>
    void MatMul(Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor c, bool accumulate);

    /// <summary>As <see cref="MatMul"/>, with a and b rounded to bfloat16 and the products added up in 32-bit floats.</summary>
    void MatMulHalf(Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor c, bool accumulate);

    /// <summary>y [columns - column, width] = some columns of x^T x from their diagonal downwards: those of x from <paramref name="column"/> on, transposed, times its next width columns.</summary>
    void GramPanel(Tensor x, int column, Tensor y);

    /// <summary>Whether <see cref="MatMulHalf"/> is computed with instructions of its own, instead of by rounding and then as floats are.</summary>
    bool HasHalf { get; }

    /// <summary>x[r, :] += row for every r; row has Columns elements.</summary>
    void AddRow(Tensor x, Tensor row);

    /// <summary>sums[c] (+)= sum over rows of x[r, c].</summary>
    void ColumnSums(Tensor x, Tensor sums, bool accumulate);

    /// <summary>y[i, :] = table[ids[i], :].</summary>
    void EmbeddingForward(Tensor table, ReadOnlySpan<int> ids, Tensor y);

    /// <summary>tableGradient[ids[i], :] += dy[i, :], in the order of i.</summary>
    void EmbeddingBackward(Tensor dy, ReadOnlySpan<int> ids, Tensor tableGradient);

    /// <summary>y = x * inverseRms * (weight + weightOffset), inverseRms[r] = 1 / sqrt(mean(x[r]^2) + epsilon).</summary>
    /// <param name="x">[rows, n].</param>
    /// <param name="weight">[n].</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="weightOffset">0, or 1 for families that store weight - 1.</param>
    /// <param name="y">[rows, n].</param>
    /// <param name="inverseRms">[rows], kept for the backward pass.</param>
    void RmsNormForward(Tensor x, Tensor weight, float epsilon, float weightOffset, Tensor y, Tensor inverseRms);

    /// <summary>Gradient of <see cref="RmsNormForward"/>: dx (+)= ..., dWeight += ... when given.</summary>
    void RmsNormBackward(
        Tensor dy, Tensor x, Tensor weight, float weightOffset, Tensor inverseRms, Tensor dx, bool accumulate, Tensor? dWeight);

    /// <summary>y = (x - mean) * inverseDeviation * weight + bias, inverseDeviation[r] = 1 / sqrt(variance(x[r]) + epsilon), variance over n.</summary>
    void LayerNormForward(Tensor x, Tensor weight, Tensor? bias, float epsilon, Tensor y, Tensor mean, Tensor inverseDeviation);

    /// <summary>Gradient of <see cref="LayerNormForward"/>: dx (+)= ..., dWeight += ... and dBias += ... when given.</summary>
    void LayerNormBackward(
        Tensor dy, Tensor x, Tensor weight, Tensor mean, Tensor inverseDeviation, Tensor dx, bool accumulate, Tensor? dWeight, Tensor? dBias);

    /// <summary>
    /// Rotary position embedding of every head of every row: pairs (u, v) become (u cos - v sin, v cos + u sin). y may be x.
    /// Row r has position (r mod sequenceLength) + positionOffset. Elements beyond the rotated ones are copied.
    /// </summary>
    /// <param name="x">[rows, heads * headSize].</param>
    /// <param name="cosine">[positions, rotated / 2], already multiplied by any attention factor.</param>
    /// <param name="sine">[positions, rotated / 2].</param>
    /// <param name="headSize">Elements of one head.</param>
    /// <param name="interleaved">Pairs are (2j, 2j + 1); otherwise (j, j + rotated / 2).</param>
    /// <param name="sequenceLength">Rows of one sequence.</param>
    /// <param name="positionOffset">Position of the first row of a sequence.</param>
    /// <param name="inverse">Rotate by the negative angle: the gradient of the forward rotation.</param>
    /// <param name="y">[rows, heads * headSize].</param>
    void Rotate(
        Tensor x, Tensor cosine, Tensor sine, int headSize, bool interleaved, int sequenceLength, int positionOffset, bool inverse, Tensor y);

    /// <summary>Causal grouped-query attention, softmax over visible keys, without storing scores. See <see cref="AttentionShape"/>.</summary>
    /// <param name="shape">Sizes and options.</param>
    /// <param name="terms">Biases of keys and sinks; the default has none.</param>
    /// <param name="q">[batch * queryLength, heads * headSize].</param>
    /// <param name="k">[batch * keyLength, keyValueHeads * headSize].</param>
    /// <param name="v">[batch * keyLength, keyValueHeads * valueHeadSize].</param>
    /// <param name="y">[batch * queryLength, heads * valueHeadSize].</param>
    /// <param name="logSumExp">[batch * queryLength, heads]: log of the softmax denominator of each row, kept for the backward pass.</param>
    void AttentionForward(in AttentionShape shape, in AttentionTerms terms, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp);

    /// <summary>Gradient of <see cref="AttentionForward"/>, recomputing the scores; dq, dk, dv are overwritten.</summary>
    void AttentionBackward(
        in AttentionShape shape, in AttentionTerms terms, Tensor dy, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp, Tensor dq, Tensor dk, Tensor dv);

    /// <summary>
    /// Causal convolution of every column by itself: y[t, c] = bias[c] + sum over j of weight[c, j] x[t - taps + 1 + j, c]; the last tap meets the
    /// current row. Before the first row of a sequence stands its tail.
    /// </summary>
    /// <param name="x">[sequences * length, n].</param>
    /// <param name="length">Rows of one sequence.</param>
    /// <param name="weight">[n, taps].</param>
    /// <param name="bias">[n], or null.</param>
    /// <param name="tail">[sequences * (taps - 1), n]: the rows before the first one of every sequence, or null for zeros.</param>
    /// <param name="y">[sequences * length, n].</param>
    void ConvolveForward(Tensor x, int length, Tensor weight, Tensor? bias, Tensor? tail, Tensor y);

    /// <summary>Gradient of <see cref="ConvolveForward"/> to x: dx[t, c] = sum over j of weight[c, j] dy[t + taps - 1 - j, c]; overwritten.</summary>
    void ConvolveBackward(Tensor dy, int length, Tensor weight, Tensor dx);

    /// <summary>The gated delta rule over sequences; see <see cref="DeltaRuleShape"/>.</summary>
    /// <param name="shape">Sizes.</param>
    /// <param name="terms">q, k, v, log decay and beta.</param>
    /// <param name="start">State before the first row, [batch * valueHeads * keySize, valueSize]; null for zeros.</param>
    /// <param name="y">[batch * length, valueHeads * valueSize].</param>
    /// <param name="end">State after the last row, shaped as the start, which it may be; null where it is not wanted.</param>
    /// <param name="states">[batch * chunks * valueHeads * keySize, valueSize]: the state before every chunk, kept for the backward pass; null without one.</param>
    void DeltaRuleForward(in DeltaRuleShape shape, in DeltaRuleTerms terms, Tensor? start, Tensor y, Tensor? end, Tensor? states);

    /// <summary>Gradients of <see cref="DeltaRuleForward"/>, overwritten; the end state has none, and the start state gets none.</summary>
    void DeltaRuleBackward(in DeltaRuleShape shape, in DeltaRuleTerms terms, Tensor states, Tensor dy, in DeltaRuleTerms gradients);

    /// <summary>y = activation(x).</summary>
    void ActivationForward(Activation activation, Tensor x, Tensor y);

    /// <summary>dx = dy * activation'(x); dx may be dy.</summary>
    void ActivationBackward(Activation activation, Tensor dy, Tensor x, Tensor dx);

    /// <summary>y = activation(gate) * up (SwiGLU, GeGLU).</summary>
    void GatedActivationForward(Activation activation, Tensor gate, Tensor up, Tensor y);

    /// <summary>dGate = dy * up * activation'(gate), dUp = dy * activation(gate).</summary>
    void GatedActivationBackward(Activation activation, Tensor dy, Tensor gate, Tensor up, Tensor dGate, Tensor dUp);

    /// <summary>y = curve(x).</summary>
    void CurveForward(in Curve curve, Tensor x, Tensor y);

    /// <summary>dx = dy * curve'(x); dx may be dy.</summary>
    void CurveBackward(in Curve curve, Tensor dy, Tensor x, Tensor dx);

    /// <summary>The gate of gpt-oss, see <see cref="ClampedGate"/>; all of the same shape.</summary>
    void ClampedGateForward(in ClampedGate constants, Tensor gate, Tensor up, Tensor y);

    /// <summary>Gradient of <see cref="ClampedGateForward"/>; an argument beyond its limit has none.</summary>
    void ClampedGateBackward(in ClampedGate constants, Tensor dy, Tensor gate, Tensor up, Tensor dGate, Tensor dUp);

    /// <summary>y = a * b, element by element; y may be a or b.</summary>
    void Multiply(Tensor a, Tensor b, Tensor y);

    /// <summary>y[r, :] = factors[r mod count] * x[r, :], where the number of factors divides the rows; y may be x.</summary>
    void ScaleRows(Tensor x, Tensor factors, Tensor y);

    /// <summary>y[r, place + j] = x[r / repeat, start + j] for j below the width: columns copied, every row as often as asked; the other columns of y stay.</summary>
    /// <param name="x">[rows, n].</param>
    /// <param name="start">First column taken.</param>
    /// <param name="repeat">Rows of y that a row of x becomes.</param>
    /// <param name="y">[rows * repeat, m].</param>
    /// <param name="place">Where the first goes.</param>
    /// <param name="width">How many.</param>
    void CopyColumns(Tensor x, int start, int repeat, Tensor y, int place, int width);

    /// <summary>Gradient of <see cref="CopyColumns"/>: dx[r, start + j] += sum over h below repeat of dy[r repeat + h, place + j], in the order of h.</summary>
    void AddColumns(Tensor dy, int place, int repeat, Tensor dx, int start, int width);

    /// <summary>y[r] = a[r, :] . b[r, :].</summary>
    void RowDots(Tensor a, Tensor b, Tensor y);

    /// <summary>
    /// factor * sum over rows r of rowWeights[r] * sum over columns of (x - target)^2, and its gradient with respect to x when asked.
    /// Summed in double precision, in a fixed order.
    /// </summary>
    /// <param name="x">[rows, n].</param>
    /// <param name="target">[rows, n].</param>
    /// <param name="rowWeights">[rows], or null for ones.</param>
    /// <param name="factor">Multiplies the sum.</param>
    /// <param name="gradient">[rows, n], overwritten with 2 * factor * rowWeights[r] * (x - target); or null.</param>
    double SquaredError(Tensor x, Tensor target, Tensor? rowWeights, float factor, Tensor? gradient);

    /// <summary>Per row of logits: logSumExp and negative log-likelihood of <paramref name="targets"/>[r]. A target of -1 gives 0.</summary>
    void CrossEntropyForward(Tensor logits, ReadOnlySpan<int> targets, Tensor negativeLogLikelihood, Tensor logSumExp);

    /// <summary>dLogits[r, :] = scale * (softmax(logits[r]) - onehot(targets[r])); rows with target -1 get zeros. dLogits may be logits.</summary>
    void CrossEntropyBackward(Tensor logits, ReadOnlySpan<int> targets, Tensor logSumExp, float scale, Tensor dLogits);

    /// <summary>Per row: log of the sum of exponentials and the index of the first largest element.</summary>
    void SoftmaxStatistics(Tensor logits, Tensor logSumExp, Span<int> largest);

    /// <summary>Per row: KL(softmax(reference) || softmax(logits)) in nats, summed in double precision.</summary>
    void KlDivergence(Tensor reference, Tensor logits, Span<double> divergence);

    /// <summary>y[i] = units[i] * scale of its group; groups are runs of units.Count / scale.Count elements.</summary>
    /// <param name="units">Codes less their zero points, [outFeatures, inFeatures].</param>
    /// <param name="scale">[outFeatures, groups], or one element.</param>
    /// <param name="y">Shaped as units.</param>
    void GroupScaleForward(Tensor units, Tensor scale, Tensor y);

    /// <summary>dScale[g] (+)= sum over group g of dy * units.</summary>
    void GroupScaleBackward(Tensor dy, Tensor units, Tensor dScale, bool accumulate);

    /// <summary>The LRQ fake quantizer, one pass over the weight; see <see cref="FakeQuantizeArguments"/>.</summary>
    void FakeQuantizeForward(in FakeQuantizeArguments arguments);

    /// <summary>The gradients of the LRQ fake quantizer, one pass over the weight; see <see cref="FakeQuantizeArguments"/>.</summary>
    void FakeQuantizeBackward(in FakeQuantizeArguments arguments, in FakeQuantizeGradients gradients);

    /// <summary>y = x^, activations on their grid; y may be x. Steps and zero points of a dynamic grid are written. See <see cref="ActivationQuantizerArguments"/>.</summary>
    void QuantizeActivations(in ActivationQuantizerArguments arguments, Tensor y);

    /// <summary>The codes of activations, row by row, signed under both rules (the paper's less 2^(bits-1)); steps and zero points as in <see cref="QuantizeActivations"/>.</summary>
    void ActivationCodes(in ActivationQuantizerArguments arguments, Span<sbyte> codes);

    /// <summary>y [rows, outFeatures] = x^ W^ transposed, from the codes of both: exact sums of integers, scaled in one order. See <see cref="IntegerProductArguments"/>.</summary>
    void MultiplyCodes(in IntegerProductArguments arguments, Tensor y);

    /// <summary>Gradients of <see cref="QuantizeActivations"/>, given the steps that it used; see <see cref="ActivationQuantizerGradients"/>.</summary>
    void QuantizeActivationsBackward(in ActivationQuantizerArguments arguments, in ActivationQuantizerGradients gradients);

    /// <summary>One step of Adam (Kingma and Ba, ICLR 2015) over all parameters in one pass; see <see cref="AdamArguments"/>.</summary>
    void AdamStep(in AdamArguments arguments);

    /// <summary>Mamba-2's recurrence, see <see cref="StateSpaceShape"/>.</summary>
    /// <param name="shape">Sizes.</param>
    /// <param name="inputs">What the recurrence reads.</param>
    /// <param name="start">[batch * heads * headSize, stateSize]: the states before the first token; null for zeros.</param>
    /// <param name="y">[batch * length, heads * headSize].</param>
    /// <param name="end">Shaped as start: the states behind the last token, or null. May be start itself.</param>
    /// <param name="chunkStates">The states at the start of every chunk, <see cref="StateSpaceShape.KeptElements"/>, kept for the backward pass; or null.</param>
    void StateSpaceForward(in StateSpaceShape shape, in ScanInputs inputs, Tensor? start, Tensor y, Tensor? end, Tensor? chunkStates);

    /// <summary>Gradient of <see cref="StateSpaceForward"/>, recomputing states from those at the starts of chunks. A, D and the start state are constants; nothing is read from the end state.</summary>
    void StateSpaceBackward(in StateSpaceShape shape, in ScanInputs inputs, Tensor chunkStates, Tensor dy, in ScanGradients gradients);

    /// <summary>Mamba-1's selective scan, see <see cref="SelectiveScanShape"/>.</summary>
    /// <param name="shape">Sizes.</param>
    /// <param name="inputs">What the recurrence reads.</param>
    /// <param name="start">[batch * channels, stateSize]: the states before the first token; null for zeros.</param>
    /// <param name="y">[batch * length, channels].</param>
    /// <param name="end">Shaped as start: the states behind the last token, or null. May be start itself.</param>
    /// <param name="chunkStates">The states at the start of every chunk, <see cref="SelectiveScanShape.KeptElements"/>, kept for the backward pass; or null.</param>
    void SelectiveScanForward(in SelectiveScanShape shape, in ScanInputs inputs, Tensor? start, Tensor y, Tensor? end, Tensor? chunkStates);

    /// <summary>Gradient of <see cref="SelectiveScanForward"/>, recomputing states from those at the starts of chunks. A, D and the start state are constants; nothing is read from the end state.</summary>
    void SelectiveScanBackward(in SelectiveScanShape shape, in ScanInputs inputs, Tensor chunkStates, Tensor dy, in ScanGradients gradients);

    /// <summary>y = clamp(log(1 + e^(x + bias)), low, high): the step sizes of both recurrences. bias has Columns elements; high may be infinite.</summary>
    void StepSizesForward(Tensor x, Tensor bias, float low, float high, Tensor y);

    /// <summary>dx = dy / (1 + e^-(x + bias)), and 0 where the value is clamped (not at the limits themselves); dx may be dy.</summary>
    void StepSizesBackward(Tensor dy, Tensor x, Tensor bias, float low, float high, Tensor dx);
}
