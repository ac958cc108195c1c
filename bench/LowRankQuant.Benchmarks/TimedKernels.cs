using System.Diagnostics;
using LowRankQuant.Numerics;

namespace LowRankQuant.Benchmarks;

/// <summary>Hands every operation on and adds up its wall and processor time by name; a fill is told from a product this way.</summary>
internal sealed class TimedKernels(IKernels inner) : IKernels
{
    private readonly Dictionary<string, KernelTime> _times = new(StringComparer.Ordinal);
    private double _wall;
    private double _processor;

    /// <summary>Time of every operation since the last <see cref="Reset"/>.</summary>
    public IReadOnlyDictionary<string, KernelTime> Times => _times;

    /// <summary>Clocks at the end of the last loss and at the start of the last optimizer step, for the parts of a training step.</summary>
    public StopTimes LossEnd { get; private set; }

    public StopTimes AdamStart { get; private set; }

    public string Name => inner.Name;

    public bool HasHalf => inner.HasHalf;

    public void Reset() => _times.Clear();

    public void Upload(ReadOnlySpan<float> source, Tensor destination)
    {
        Start();
        inner.Upload(source, destination);
        Stop("upload");
    }

    public void Download(Tensor source, Span<float> destination)
    {
        Start();
        inner.Download(source, destination);
        Stop("download");
    }

    public void Copy(Tensor source, Tensor destination) => Time("copy", () => inner.Copy(source, destination));

    public void Fill(Tensor x, float value) => Time("fill", () => inner.Fill(x, value));

    public void Add(Tensor a, Tensor b, Tensor y) => Time("add", () => inner.Add(a, b, y));

    public void AddScaled(Tensor x, float factor, Tensor y) => Time("add scaled", () => inner.AddScaled(x, factor, y));

    public void Scale(Tensor x, float factor, Tensor y) => Time("scale", () => inner.Scale(x, factor, y));

    public void MatMul(Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor c, bool accumulate) =>
        Time("product", () => inner.MatMul(a, transposeA, b, transposeB, c, accumulate));

    public void GramPanel(Tensor x, int column, Tensor y) => Time("gram", () => inner.GramPanel(x, column, y));

    public void MatMulHalf(Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor c, bool accumulate) =>
        Time("half product", () => inner.MatMulHalf(a, transposeA, b, transposeB, c, accumulate));

    public void AddRow(Tensor x, Tensor row) => Time("add row", () => inner.AddRow(x, row));

    public void ColumnSums(Tensor x, Tensor sums, bool accumulate) => Time("column sums", () => inner.ColumnSums(x, sums, accumulate));

    public void EmbeddingForward(Tensor table, ReadOnlySpan<int> ids, Tensor y) => inner.EmbeddingForward(table, ids, y);

    public void EmbeddingBackward(Tensor dy, ReadOnlySpan<int> ids, Tensor tableGradient) => inner.EmbeddingBackward(dy, ids, tableGradient);

    public void RmsNormForward(Tensor x, Tensor weight, float epsilon, float weightOffset, Tensor y, Tensor inverseRms) =>
        Time("rms norm", () => inner.RmsNormForward(x, weight, epsilon, weightOffset, y, inverseRms));

    public void RmsNormBackward(
        Tensor dy, Tensor x, Tensor weight, float weightOffset, Tensor inverseRms, Tensor dx, bool accumulate, Tensor? dWeight) =>
        Time("rms norm backward", () => inner.RmsNormBackward(dy, x, weight, weightOffset, inverseRms, dx, accumulate, dWeight));

    public void LayerNormForward(Tensor x, Tensor weight, Tensor? bias, float epsilon, Tensor y, Tensor mean, Tensor inverseDeviation) =>
        Time("layer norm", () => inner.LayerNormForward(x, weight, bias, epsilon, y, mean, inverseDeviation));

    public void LayerNormBackward(
        Tensor dy, Tensor x, Tensor weight, Tensor mean, Tensor inverseDeviation, Tensor dx, bool accumulate, Tensor? dWeight, Tensor? dBias) =>
        Time("layer norm backward", () => inner.LayerNormBackward(dy, x, weight, mean, inverseDeviation, dx, accumulate, dWeight, dBias));

    public void Rotate(
        Tensor x, Tensor cosine, Tensor sine, int headSize, bool interleaved, int sequenceLength, int positionOffset, bool inverse, Tensor y) =>
        Time("rotate", () => inner.Rotate(x, cosine, sine, headSize, interleaved, sequenceLength, positionOffset, inverse, y));

    public void AttentionForward(in AttentionShape shape, in AttentionTerms terms, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp)
    {
        Start();
        inner.AttentionForward(shape, terms, q, k, v, y, logSumExp);
        Stop("attention");
    }

    public void AttentionBackward(
        in AttentionShape shape, in AttentionTerms terms, Tensor dy, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp,
        Tensor dq, Tensor dk, Tensor dv)
    {
        Start();
        inner.AttentionBackward(shape, terms, dy, q, k, v, y, logSumExp, dq, dk, dv);
        Stop("attention backward");
    }

    public void ConvolveForward(Tensor x, int length, Tensor weight, Tensor? bias, Tensor? tail, Tensor y) =>
        Time("convolution", () => inner.ConvolveForward(x, length, weight, bias, tail, y));

    public void ConvolveBackward(Tensor dy, int length, Tensor weight, Tensor dx) =>
        Time("convolution backward", () => inner.ConvolveBackward(dy, length, weight, dx));

    public void CopyColumns(Tensor x, int start, int repeat, Tensor y, int place, int width) => Time("columns", () => inner.CopyColumns(x, start, repeat, y, place, width));

    public void AddColumns(Tensor dy, int place, int repeat, Tensor dx, int start, int width) => Time("columns backward", () => inner.AddColumns(dy, place, repeat, dx, start, width));

    public void DeltaRuleForward(in DeltaRuleShape shape, in DeltaRuleTerms terms, Tensor? start, Tensor y, Tensor? end, Tensor? states)
    {
        Start();
        inner.DeltaRuleForward(shape, terms, start, y, end, states);
        Stop("delta rule");
    }

    public void DeltaRuleBackward(in DeltaRuleShape shape, in DeltaRuleTerms terms, Tensor states, Tensor dy, in DeltaRuleTerms gradients)
    {
        Start();
        inner.DeltaRuleBackward(shape, terms, states, dy, gradients);
        Stop("delta rule backward");
    }

    public void ActivationForward(Activation activation, Tensor x, Tensor y) => Time("activation", () => inner.ActivationForward(activation, x, y));

    public void ActivationBackward(Activation activation, Tensor dy, Tensor x, Tensor dx) =>
        Time("activation backward", () => inner.ActivationBackward(activation, dy, x, dx));

    public void GatedActivationForward(Activation activation, Tensor gate, Tensor up, Tensor y) =>
        Time("gated activation", () => inner.GatedActivationForward(activation, gate, up, y));

    public void GatedActivationBackward(Activation activation, Tensor dy, Tensor gate, Tensor up, Tensor dGate, Tensor dUp) =>
        Time("gated activation backward", () => inner.GatedActivationBackward(activation, dy, gate, up, dGate, dUp));

    public void CurveForward(in Curve curve, Tensor x, Tensor y)
    {
        Start();
        inner.CurveForward(curve, x, y);
        Stop("curve");
    }

    public void CurveBackward(in Curve curve, Tensor dy, Tensor x, Tensor dx)
    {
        Start();
        inner.CurveBackward(curve, dy, x, dx);
        Stop("curve backward");
    }

    public void ClampedGateForward(in ClampedGate constants, Tensor gate, Tensor up, Tensor y)
    {
        Start();
        inner.ClampedGateForward(constants, gate, up, y);
        Stop("clamped gate");
    }

    public void ClampedGateBackward(in ClampedGate constants, Tensor dy, Tensor gate, Tensor up, Tensor dGate, Tensor dUp)
    {
        Start();
        inner.ClampedGateBackward(constants, dy, gate, up, dGate, dUp);
        Stop("clamped gate backward");
    }

    public void Multiply(Tensor a, Tensor b, Tensor y) => Time("multiply", () => inner.Multiply(a, b, y));

    public void ScaleRows(Tensor x, Tensor factors, Tensor y) => Time("scale rows", () => inner.ScaleRows(x, factors, y));

    public void RowDots(Tensor a, Tensor b, Tensor y) => Time("row dots", () => inner.RowDots(a, b, y));

    public double SquaredError(Tensor x, Tensor target, Tensor? rowWeights, float factor, Tensor? gradient)
    {
        Start();
        double loss = inner.SquaredError(x, target, rowWeights, factor, gradient);
        Stop("squared error");
        LossEnd = StopTimes.Now;
        return loss;
    }

    public void CrossEntropyForward(Tensor logits, ReadOnlySpan<int> targets, Tensor negativeLogLikelihood, Tensor logSumExp) =>
        inner.CrossEntropyForward(logits, targets, negativeLogLikelihood, logSumExp);

    public void CrossEntropyBackward(Tensor logits, ReadOnlySpan<int> targets, Tensor logSumExp, float scale, Tensor dLogits) =>
        inner.CrossEntropyBackward(logits, targets, logSumExp, scale, dLogits);

    public void SoftmaxStatistics(Tensor logits, Tensor logSumExp, Span<int> largest) => inner.SoftmaxStatistics(logits, logSumExp, largest);

    public void KlDivergence(Tensor reference, Tensor logits, Span<double> divergence) => inner.KlDivergence(reference, logits, divergence);

    public void GroupScaleForward(Tensor units, Tensor scale, Tensor y) => Time("group scale", () => inner.GroupScaleForward(units, scale, y));

    public void GroupScaleBackward(Tensor dy, Tensor units, Tensor dScale, bool accumulate) =>
        Time("group scale backward", () => inner.GroupScaleBackward(dy, units, dScale, accumulate));

    public void FakeQuantizeForward(in FakeQuantizeArguments arguments)
    {
        Start();
        inner.FakeQuantizeForward(arguments);
        Stop("fake quantizer");
    }

    public void FakeQuantizeBackward(in FakeQuantizeArguments arguments, in FakeQuantizeGradients gradients)
    {
        Start();
        inner.FakeQuantizeBackward(arguments, gradients);
        Stop("fake quantizer backward");
    }

    public void QuantizeActivations(in ActivationQuantizerArguments arguments, Tensor y)
    {
        Start();
        inner.QuantizeActivations(arguments, y);
        Stop("quantize activations");
    }

    public void ActivationCodes(in ActivationQuantizerArguments arguments, Span<sbyte> codes)
    {
        Start();
        inner.ActivationCodes(arguments, codes);
        Stop("activation codes");
    }

    public void MultiplyCodes(in IntegerProductArguments arguments, Tensor y)
    {
        Start();
        inner.MultiplyCodes(arguments, y);
        Stop("multiply codes");
    }

    public void QuantizeActivationsBackward(in ActivationQuantizerArguments arguments, in ActivationQuantizerGradients gradients)
    {
        Start();
        inner.QuantizeActivationsBackward(arguments, gradients);
        Stop("quantize activations backward");
    }

    public void AdamStep(in AdamArguments arguments)
    {
        AdamStart = StopTimes.Now;
        Start();
        inner.AdamStep(arguments);
        Stop("adam");
    }

    public void StateSpaceForward(in StateSpaceShape shape, in ScanInputs inputs, Tensor? start, Tensor y, Tensor? end, Tensor? chunkStates)
    {
        Start();
        inner.StateSpaceForward(shape, inputs, start, y, end, chunkStates);
        Stop("state space");
    }

    public void StateSpaceBackward(in StateSpaceShape shape, in ScanInputs inputs, Tensor chunkStates, Tensor dy, in ScanGradients gradients)
    {
        Start();
        inner.StateSpaceBackward(shape, inputs, chunkStates, dy, gradients);
        Stop("state space backward");
    }

    public void SelectiveScanForward(in SelectiveScanShape shape, in ScanInputs inputs, Tensor? start, Tensor y, Tensor? end, Tensor? chunkStates)
    {
        Start();
        inner.SelectiveScanForward(shape, inputs, start, y, end, chunkStates);
        Stop("selective scan");
    }

    public void SelectiveScanBackward(in SelectiveScanShape shape, in ScanInputs inputs, Tensor chunkStates, Tensor dy, in ScanGradients gradients)
    {
        Start();
        inner.SelectiveScanBackward(shape, inputs, chunkStates, dy, gradients);
        Stop("selective scan backward");
    }

    public void StepSizesForward(Tensor x, Tensor bias, float low, float high, Tensor y) =>
        Time("step sizes", () => inner.StepSizesForward(x, bias, low, high, y));

    public void StepSizesBackward(Tensor dy, Tensor x, Tensor bias, float low, float high, Tensor dx) =>
        Time("step sizes backward", () => inner.StepSizesBackward(dy, x, bias, low, high, dx));

    private void Time(string name, Action action)
    {
        Start();
        action();
        Stop(name);
    }

    private void Start()
    {
        StopTimes now = StopTimes.Now;
        _wall = now.Wall;
        _processor = now.Processor;
    }

    private void Stop(string name)
    {
        StopTimes now = StopTimes.Now;
        if (!_times.TryGetValue(name, out KernelTime? time)) _times[name] = time = new KernelTime();
        time.Calls++;
        time.Wall += now.Wall - _wall;
        time.Processor += now.Processor - _processor;
    }
}

/// <summary>What one operation took in all.</summary>
internal sealed class KernelTime
{
    public int Calls { get; set; }

    public double Wall { get; set; }

    public double Processor { get; set; }
}

/// <summary>Wall clock and processor time of the process, in seconds.</summary>
internal readonly record struct StopTimes(double Wall, double Processor)
{
    public static StopTimes Now => new(Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency, ThreadClock.ProcessSeconds);

    public static StopTimes operator -(StopTimes a, StopTimes b) => new(a.Wall - b.Wall, a.Processor - b.Processor);
}
