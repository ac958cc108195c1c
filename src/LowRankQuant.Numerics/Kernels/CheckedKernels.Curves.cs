namespace LowRankQuant.Numerics.Kernels;

/// <summary>Functions with constants, products by elements and by rows.</summary>
internal abstract partial class CheckedKernels
{
    public void CurveForward(in Curve curve, Tensor x, Tensor y)
    {
        Same(y, x);
        inner.CurveForward(curve, x, y);
    }

    public void CurveBackward(in Curve curve, Tensor dy, Tensor x, Tensor dx)
    {
        Same(dy, x);
        Same(dx, x);
        inner.CurveBackward(curve, dy, x, dx);
    }

    public void ClampedGateForward(in ClampedGate constants, Tensor gate, Tensor up, Tensor y)
    {
        Same(up, gate);
        Same(y, gate);
        inner.ClampedGateForward(constants, gate, up, y);
    }

    public void ClampedGateBackward(in ClampedGate constants, Tensor dy, Tensor gate, Tensor up, Tensor dGate, Tensor dUp)
    {
        Same(dy, gate);
        Same(up, gate);
        Same(dGate, gate);
        Same(dUp, gate);
        inner.ClampedGateBackward(constants, dy, gate, up, dGate, dUp);
    }

    public void Multiply(Tensor a, Tensor b, Tensor y)
    {
        Same(b, a);
        Same(y, a);
        inner.Multiply(a, b, y);
    }

    public void ScaleRows(Tensor x, Tensor factors, Tensor y)
    {
        if (factors.Count == 0 || x.Rows % factors.Count != 0) throw Fault(factors, $"has to have a number of elements that divides the {x.Rows} rows");
        Same(y, x);
        inner.ScaleRows(x, factors, y);
    }

    public void RowDots(Tensor a, Tensor b, Tensor y)
    {
        Same(b, a);
        Count(y, a.Rows);
        inner.RowDots(a, b, y);
    }
}
