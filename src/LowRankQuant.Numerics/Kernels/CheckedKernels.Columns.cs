namespace LowRankQuant.Numerics.Kernels;

/// <summary>Columns copied from one matrix into another.</summary>
internal abstract partial class CheckedKernels
{
    public void CopyColumns(Tensor x, int start, int repeat, Tensor y, int place, int width)
    {
        CheckColumns(x, start, repeat, y, place, width);
        inner.CopyColumns(x, start, repeat, y, place, width);
    }

    public void AddColumns(Tensor dy, int place, int repeat, Tensor dx, int start, int width)
    {
        CheckColumns(dx, start, repeat, dy, place, width);
        inner.AddColumns(dy, place, repeat, dx, start, width);
    }

    private static void CheckColumns(Tensor few, int start, int repeat, Tensor many, int place, int width)
    {
        if (repeat < 1 || many.Rows != (long)few.Rows * repeat) throw Fault(many, $"has to have {repeat} rows for each of the {few.Rows} of the other, {few}");
        if (width < 1 || start < 0 || start > few.Columns - width) throw Fault(few, $"has no {width} columns from {start} on");
        if (place < 0 || place > many.Columns - width) throw Fault(many, $"has no {width} columns from {place} on");
    }
}
