using LowRankQuant.Numerics.Kernels.Simd.Functions;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>Functions with constants, the gate of gpt-oss, products by elements and by rows.</summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    public void CurveForward(in Curve curve, Tensor x, Tensor y)
    {
        switch (curve.Kind)
        {
            case Curve.CurveKind.Clamp: BendForward(new ClampCurve(curve.A), x, y); break;
            case Curve.CurveKind.SoftCap: BendForward(new SoftCapCurve(curve.A), x, y); break;
            case Curve.CurveKind.Xielu: BendForward(new XieluCurve(curve.A, curve.B, curve.C, curve.D), x, y); break;
        }
    }

    public void CurveBackward(in Curve curve, Tensor dy, Tensor x, Tensor dx)
    {
        switch (curve.Kind)
        {
            case Curve.CurveKind.Clamp: BendBackward(new ClampCurve(curve.A), dy, x, dx); break;
            case Curve.CurveKind.SoftCap: BendBackward(new SoftCapCurve(curve.A), dy, x, dx); break;
            case Curve.CurveKind.Xielu: BendBackward(new XieluCurve(curve.A, curve.B, curve.C, curve.D), dy, x, dx); break;
        }
    }

    public void ClampedGateForward(in ClampedGate constants, Tensor gate, Tensor up, Tensor y)
    {
        float* pg = gate.Pointer, pu = up.Pointer, py = y.Pointer;
        (float alpha, float limit) = constants;
        ForElements(gate.Count, (start, n) =>
        {
            V most = V.Create(limit), least = V.Create(-limit), one = V.Create(1f);
            for (long j = start; j < start + n; j += V.Count)
            {
                int left = (int)(start + n - j);
                V g = V.Min(most, V.Load(pg + j, left)), u = V.Max(least, V.Min(most, V.Load(pu + j, left)));
                ((u + one) * g * SimdMath.Sigmoid(V.Create(alpha) * g)).Store(py + j, left);
            }
        });
    }

    public void ClampedGateBackward(in ClampedGate constants, Tensor dy, Tensor gate, Tensor up, Tensor dGate, Tensor dUp)
    {
        float* pd = dy.Pointer, pg = gate.Pointer, pu = up.Pointer, pdg = dGate.Pointer, pdu = dUp.Pointer;
        (float alpha, float limit) = constants;
        ForElements(gate.Count, (start, n) =>
        {
            V most = V.Create(limit), least = V.Create(-limit), one = V.Create(1f), a = V.Create(alpha);
            for (long j = start; j < start + n; j += V.Count)
            {
                int left = (int)(start + n - j);
                V d = V.Load(pd + j, left), gateIn = V.Load(pg + j, left), upIn = V.Load(pu + j, left);
                V g = V.Min(most, gateIn), u = V.Max(least, V.Min(most, upIn)), s = SimdMath.Sigmoid(a * g);
                V slope = V.MultiplyAdd(a * g * s, one - s, s);
                (V.LessThanOrEqual(gateIn, most) & (d * (u + one) * slope)).Store(pdg + j, left);
                (V.LessThanOrEqual(V.Abs(upIn), most) & (d * g * s)).Store(pdu + j, left);
            }
        });
    }

    public void Multiply(Tensor a, Tensor b, Tensor y)
    {
        float* pa = a.Pointer, pb = b.Pointer, py = y.Pointer;
        ForElements(a.Count, (start, n) =>
        {
            for (long j = start; j < start + n; j += V.Count)
            {
                int left = (int)(start + n - j);
                (V.Load(pa + j, left) * V.Load(pb + j, left)).Store(py + j, left);
            }
        });
    }

    public void ScaleRows(Tensor x, Tensor factors, Tensor y)
    {
        float* px = x.Pointer, pf = factors.Pointer, py = y.Pointer;
        int columns = x.Columns, period = (int)factors.Count;
        ForRows(x.Rows, columns, (_, first, end) =>
        {
            for (int r = first; r < end; r++) ScaleChunk(px + ((long)r * columns), pf[r % period], py + ((long)r * columns), columns);
        });
    }

    public void RowDots(Tensor a, Tensor b, Tensor y)
    {
        float* pa = a.Pointer, pb = b.Pointer, py = y.Pointer;
        int columns = a.Columns;
        ForRows(a.Rows, columns, (_, first, end) =>
        {
            for (int r = first; r < end; r++) py[r] = Dot(pa + ((long)r * columns), pb + ((long)r * columns), columns);
        });
    }

    private void BendForward<C>(C curve, Tensor x, Tensor y)
        where C : struct, ICurve
    {
        float* px = x.Pointer, py = y.Pointer;
        ForElements(x.Count, (start, n) =>
        {
            for (long j = start; j < start + n; j += V.Count)
            {
                int left = (int)(start + n - j);
                curve.Value(V.Load(px + j, left), out V _).Store(py + j, left);
            }
        });
    }

    private void BendBackward<C>(C curve, Tensor dy, Tensor x, Tensor dx)
        where C : struct, ICurve
    {
        float* pd = dy.Pointer, px = x.Pointer, po = dx.Pointer;
        ForElements(x.Count, (start, n) =>
        {
            for (long j = start; j < start + n; j += V.Count)
            {
                int left = (int)(start + n - j);
                curve.Value(V.Load(px + j, left), out V slope);
                (V.Load(pd + j, left) * slope).Store(po + j, left);
            }
        });
    }
}
