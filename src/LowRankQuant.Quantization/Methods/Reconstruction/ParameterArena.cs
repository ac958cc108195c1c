using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>All learned numbers of a block in one tensor, with their gradients and Adam moments beside them, so that a step is one pass.</summary>
internal sealed class ParameterArena : IDisposable
{
    // Parameters start on cache lines, so that no vector of one straddles another.
    private const int Alignment = 16;
    private readonly Tensor _values;
    private readonly Tensor _gradients;
    private readonly Tensor _firstMoment;
    private readonly Tensor _secondMoment;
    private Tensor? _kept;
    private readonly List<Variable> _variables = [];
    private readonly List<(Variable Variable, float Low, float High)> _bounded = [];
    private long _used;
    private long? _second;

    /// <summary>An arena for <paramref name="count"/> numbers in <paramref name="parts"/> parameters.</summary>
    public ParameterArena(Device device, long count, int parts)
    {
        Device = device;
        int size = checked((int)(count + ((long)parts * Alignment)));
        _values = device.Zeros(size);
        _gradients = device.Zeros(size);
        _firstMoment = device.Zeros(size);
        _secondMoment = device.Zeros(size);
    }

    public Device Device { get; }

    /// <summary>All values, padding included.</summary>
    public Tensor Values => _values;

    /// <summary>Gradients, shaped as the values.</summary>
    public Tensor Gradients => _gradients;

    /// <summary>Adam's running means of gradients, shaped as the values.</summary>
    public Tensor FirstMoment => _firstMoment;

    /// <summary>Adam's running means of squared gradients, shaped as the values.</summary>
    public Tensor SecondMoment => _secondMoment;

    public Variable Take(ReadOnlySpan<float> start, params ReadOnlySpan<int> shape)
    {
        Variable variable = TakeZeros(shape);
        variable.Value.CopyFrom(start);
        return variable;
    }

    /// <summary>The same of numbers that stay between bounds: what a step takes beyond one is brought back to it.</summary>
    public Variable TakeBounded(ReadOnlySpan<float> start, float low, float high, params ReadOnlySpan<int> shape)
    {
        Variable variable = Take(start, shape);
        _bounded.Add((variable, low, high));
        return variable;
    }

    public Variable TakeZeros(params ReadOnlySpan<int> shape)
    {
        var variable = new Variable(_values.Slice(_used, shape), _gradients.Slice(_used, shape));
        _used += (variable.Value.Count + Alignment - 1) / Alignment * Alignment;
        _variables.Add(variable);
        return variable;
    }

    /// <summary>What is taken from here on learns at another rate.</summary>
    public void BeginSecond() => _second = _used;

    public void ClearGradients()
    {
        foreach (Variable variable in _variables) variable.ClearGradient();
    }

    /// <summary>One Adam step, <paramref name="step"/> counted from 1.</summary>
    /// <param name="rate">Learning rate.</param>
    /// <param name="step">The step.</param>
    /// <param name="secondRate">Learning rate of what was taken behind <see cref="BeginSecond"/>.</param>
    public void AdamStep(double rate, int step, double secondRate = 0)
    {
        FillAbsent();
        if (_second is not { } border)
        {
            Step(_values, _gradients, _firstMoment, _secondMoment, rate, step);
        }
        else
        {
            int first = checked((int)border), second = checked((int)(_values.Count - border));
            Step(_values.Slice(0, first), _gradients.Slice(0, first), _firstMoment.Slice(0, first), _secondMoment.Slice(0, first), rate, step);
            Step(_values.Slice(border, second), _gradients.Slice(border, second), _firstMoment.Slice(border, second), _secondMoment.Slice(border, second), secondRate, step);
        }
        Bound();
    }

    /// <summary>Moves every number by the rate against the sign of its gradient; one whose gradient is 0 stays.</summary>
    public void SignStep(double rate)
    {
        FillAbsent();
        float step = (float)rate;
        InParts(_values, (first, length) =>
        {
            Span<float> values = _values.Span.Slice(first, length);
            ReadOnlySpan<float> gradients = _gradients.Span.Slice(first, length);
            for (int i = 0; i < values.Length; i++) values[i] -= gradients[i] > 0 ? step : gradients[i] < 0 ? -step : 0;
        });
        Bound();
    }

    // What no token of the step passed through, such as an expert, has no gradient, and not that of an earlier step.
    private void FillAbsent()
    {
        foreach (Variable variable in _variables.Where(variable => !variable.HasGradient)) Device.Kernels.Fill(variable.Gradient!, 0);
    }

    private void Bound()
    {
        foreach ((Variable variable, float low, float high) in _bounded)
        {
            InParts(variable.Value, (first, length) =>
            {
                foreach (ref float value in variable.Value.Span.Slice(first, length)) value = Math.Clamp(value, low, high);
            });
        }
    }

    private void InParts(Tensor tensor, Action<int, int> work)
    {
        const int part = 1 << 14;
        int count = checked((int)tensor.Count);
        Device.HostWorkers.Run((count + part - 1) / part, chunk => work(chunk * part, Math.Min(part, count - (chunk * part))));
    }

    private void Step(Tensor values, Tensor gradients, Tensor firstMoment, Tensor secondMoment, double rate, int step) => Device.Kernels.AdamStep(new AdamArguments
    {
        Parameters = values,
        Gradient = gradients,
        FirstMoment = firstMoment,
        SecondMoment = secondMoment,
        Rate = (float)rate,
        Step = step,
        Beta1 = 0.9f,
        Beta2 = 0.999f,
        Epsilon = 1e-8f,
    });

    /// <summary>The values that <see cref="Keep"/> set aside, shaped as the values; zeros before.</summary>
    public Tensor Kept => _kept ??= Device.Zeros(_values.Shape);

    /// <summary>Sets the values as they are now aside, in place of what was set aside before.</summary>
    public void Keep() => Device.Kernels.Copy(_values, Kept);

    /// <summary>Takes back what <see cref="Keep"/> set aside.</summary>
    public void Restore() => Device.Kernels.Copy(Kept, _values);

    /// <summary>Multiplies all gradients.</summary>
    public void ScaleGradients(double factor) => Device.Kernels.Scale(_gradients, (float)factor, _gradients);

    public void ResetMoments()
    {
        Device.Kernels.Fill(_firstMoment, 0);
        Device.Kernels.Fill(_secondMoment, 0);
    }

    public void Dispose()
    {
        _values.Dispose();
        _gradients.Dispose();
        _firstMoment.Dispose();
        _secondMoment.Dispose();
        _kept?.Dispose();
    }
}
