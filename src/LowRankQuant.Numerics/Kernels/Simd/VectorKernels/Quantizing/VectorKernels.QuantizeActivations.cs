using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using LowRankQuant.Numerics.Kernels.Scalar;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>
/// Quantizers of activations. Every element goes through the operations of the scalar twin in their order, without fused or approximate ones, and sums have its order: values,
/// codes, steps and gradients are the same bits.
/// </summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    // Elements whose terms are made in vectors before they are added up in doubles.
    private const int TermRun = 256;

    public void QuantizeActivations(in ActivationQuantizerArguments arguments, Tensor y)
    {
        var p = new ActivationPointers(arguments);
        float* py = y.Pointer;
        bool floats = p.Grid.Floats is not null;
        FloatRounding<V> rounding = floats ? new FloatRounding<V>(p.Grid.Floats!) : default;
        ForUnits(p, (unit, number, x) =>
        {
            ActivationUnit<float> grid = Grid(p, number, x);
            float* to = py + ((long)unit * p.Size);
            V step = V.Create(grid.Step), offset = V.Create(grid.Offset), low = V.Create(grid.Low), high = V.Create(grid.High);
            for (int j = 0; j < p.Size; j += V.Count)
            {
                int left = p.Size - j;
                V position = V.Load(x + j, left) / step;
                V code = V.Max(low, V.Min(high, floats ? rounding.RoundOpen(position) : V.Round(position + offset)));
                ((code - offset) * step).Store(to + j, left);
            }
        });
    }

    public void ActivationCodes(in ActivationQuantizerArguments arguments, Span<sbyte> codes)
    {
        var p = new ActivationPointers(arguments);
        fixed (sbyte* start = codes)
        {
            sbyte* all = start;
            ForUnits(p, (unit, number, x) =>
            {
                ActivationUnit<float> grid = Grid(p, number, x);
                sbyte* to = all + ((long)unit * p.Size);
                V step = V.Create(grid.Step), offset = V.Create(grid.Offset), low = V.Create(grid.Low), high = V.Create(grid.High), shift = V.Create(grid.Shift);
                float* run = stackalloc float[TermRun];
                for (int begin = 0; begin < p.Size; begin += TermRun)
                {
                    int count = Math.Min(TermRun, p.Size - begin);
                    for (int j = 0; j < count; j += V.Count)
                    {
                        V code = V.Max(low, V.Min(high, V.Round((V.Load(x + begin + j, count - j) / step) + offset)));
                        (code + shift).Store(run + j, count - j);
                    }
                    ToBytes(run, to + begin, count);
                }
            });
        }
    }

    public void QuantizeActivationsBackward(in ActivationQuantizerArguments arguments, in ActivationQuantizerGradients gradients)
    {
        var p = new ActivationPointers(arguments);
        float* upstream = gradients.Upstream.Pointer, dx = PointerOf(gradients.Input), dStep = PointerOf(gradients.Step), dZero = PointerOf(gradients.ZeroPoint);
        bool accumulate = gradients.Accumulate, throughRange = gradients.ThroughRange, sums = dStep != null || dZero != null || throughRange;
        bool all = Reference.PassesAll(p.Grid), floats = p.Grid.Floats is not null;
        FloatRounding<V> rounding = floats ? new FloatRounding<V>(p.Grid.Floats!) : default;
        ForUnits(p, (unit, number, x) =>
        {
            ActivationUnit<float> grid = p.Grid.Unit(p.Step[number], p.ZeroPoint[number]);
            long at = (long)unit * p.Size;
            V step = V.Create(grid.Step), offset = V.Create(grid.Offset), low = V.Create(grid.Low), high = V.Create(grid.High);
            float* terms = stackalloc float[TermRun], clipped = stackalloc float[TermRun];
            var total = default(UnitSums);
            for (int begin = 0; begin < p.Size; begin += TermRun)
            {
                int count = Math.Min(TermRun, p.Size - begin);
                for (int j = 0; j < count; j += V.Count)
                {
                    int left = count - j;
                    V g = V.Load(upstream + at + begin + j, left), position = V.Load(x + begin + j, left) / step, rounded = floats ? rounding.RoundOpen(position) : V.Round(position + offset);
                    V inside = V.LessThanOrEqual(low, rounded) & V.LessThanOrEqual(rounded, high);
                    V through = all ? g : inside & g;
                    if (dx != null)
                    {
                        float* to = dx + at + begin + j;
                        (accumulate ? V.Load(to, left) + through : through).Store(to, left);
                    }
                    if (!sums) continue;
                    V units = V.Max(low, V.Min(high, rounded)) - offset;
                    (g * (all ? units - position : V.Select(inside, units - position, units))).Store(terms + j, left);
                    V.Select(inside, V.Zero, g).Store(clipped + j, left);
                }
                if (sums) total.Add(terms, clipped, count);
            }
            if (dStep != null) dStep[unit] = (float)total.Terms;
            if (dZero != null) dZero[unit] = -grid.Step * (float)total.Clipped;
            if (throughRange) Reference.AddThroughRange(p.Grid, new ReadOnlySpan<float>(x, p.Size), grid.Step, (float)total.Terms, new Span<float>(dx + at, p.Size));
        });
    }

    // What is no number becomes 0, as in the twin.
    private static void ToBytes(float* codes, sbyte* bytes, int count)
    {
        int j = 0;
        if (Avx512F.IsSupported)
        {
            for (; j <= count - 16; j += 16) Avx512F.ConvertToVector128SByte(Vector512.ConvertToInt32Native(Vector512.Load(codes + j))).Store(bytes + j);
        }
        else
        {
            for (; j <= count - 32; j += 32)
            {
                Vector256<short> low = Vector256.Narrow(Vector256.ConvertToInt32Native(Vector256.Load(codes + j)), Vector256.ConvertToInt32Native(Vector256.Load(codes + j + 8)));
                Vector256<short> high = Vector256.Narrow(Vector256.ConvertToInt32Native(Vector256.Load(codes + j + 16)), Vector256.ConvertToInt32Native(Vector256.Load(codes + j + 24)));
                Vector256.Narrow(low, high).Store(bytes + j);
            }
        }
        for (; j < count; j++) bytes[j] = sbyte.CreateTruncating(codes[j]);
    }

    private static float* PointerOf(Tensor? tensor) => tensor is null ? null : tensor.Pointer;

    /// <summary>Runs body(unit, place of its step, first element) over the units of all rows.</summary>
    private void ForUnits(ActivationPointers p, UnitBody body) => ForRows(p.Rows, p.Units * p.Size, (_, first, end) =>
    {
        for (int row = first; row < end; row++)
        {
            for (int u = 0; u < p.Units; u++)
            {
                int unit = checked((row * p.Units) + u);
                body(unit, p.Grid.IsDynamic ? unit : u, p.X + ((long)unit * p.Size));
            }
        }
    });

    private static ActivationUnit<float> Grid(in ActivationPointers p, int number, float* x)
    {
        if (p.Grid.IsDynamic)
        {
            (float min, float max) = Range(x, p.Size);
            (p.Step[number], p.ZeroPoint[number]) = p.Grid.Of(min + 0f, max + 0f);
        }
        return p.Grid.Unit(p.Step[number], p.ZeroPoint[number]);
    }

    // The accumulator goes second, so that what is no number is passed over, as in the twin.
    private static (float Min, float Max) Range(float* x, int n)
    {
        V least = V.Create(float.PositiveInfinity), most = V.Create(float.NegativeInfinity);
        int j = 0;
        for (; j <= n - V.Count; j += V.Count)
        {
            V value = V.Load(x + j);
            least = V.Min(value, least);
            most = V.Max(value, most);
        }
        float min = -V.Largest(V.Zero - least), max = V.Largest(most);
        for (; j < n; j++)
        {
            if (x[j] < min) min = x[j];
            if (x[j] > max) max = x[j];
        }
        return (min, max);
    }

    private delegate void UnitBody(int unit, int number, float* x);

    private readonly struct ActivationPointers
    {
        public ActivationPointers(in ActivationQuantizerArguments arguments)
        {
            Grid = arguments.Grid;
            X = arguments.X.Pointer;
            Step = arguments.Step.Pointer;
            ZeroPoint = arguments.ZeroPoint.Pointer;
            Rows = arguments.X.Rows;
            Units = Rows == 0 ? 1 : (int)(Grid.IsDynamic ? arguments.Step.Count / Rows : arguments.Step.Count);
            Size = arguments.X.Columns / Units;
        }

        public ActivationGrid Grid { get; }

        public float* X { get; }

        public float* Step { get; }

        public float* ZeroPoint { get; }

        public int Rows { get; }

        public int Units { get; }

        /// <summary>Columns of a unit.</summary>
        public int Size { get; }
    }
}
