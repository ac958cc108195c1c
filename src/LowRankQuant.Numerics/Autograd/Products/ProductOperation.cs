namespace LowRankQuant.Numerics.Autograd.Products;

/// <summary>Matrix products of operations, in the precision of their tape or in that of floats.</summary>
internal static class ProductOperation
{
    /// <summary>c (+)= op(a) op(b).</summary>
    public static void Multiply(this IKernels kernels, Precision precision, Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor c, bool accumulate)
    {
        if (precision == Precision.BFloat16) kernels.MatMulHalf(a, transposeA, b, transposeB, c, accumulate);
        else kernels.MatMul(a, transposeA, b, transposeB, c, accumulate);
    }

    /// <summary>gradient += left right, the product by itself before it is added.</summary>
    public static void AddProduct(this Tape tape, Precision precision, Tensor left, bool transposeLeft, Tensor right, bool transposeRight, Tensor gradient, bool accumulate)
    {
        if (!accumulate)
        {
            tape.Kernels.Multiply(precision, left, transposeLeft, right, transposeRight, gradient, accumulate: false);
            return;
        }
        using Tensor product = tape.RentGradient(gradient.Shape);
        tape.Kernels.Multiply(precision, left, transposeLeft, right, transposeRight, product, accumulate: false);
        tape.Kernels.AddScaled(product, 1, gradient);
    }
}
