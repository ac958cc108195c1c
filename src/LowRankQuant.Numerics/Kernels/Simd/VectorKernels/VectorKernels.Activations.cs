using LowRankQuant.Numerics.Kernels.Simd.Functions;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>Activations, plain and gated.</summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    public void ActivationForward(Activation activation, Tensor x, Tensor y)
    {
        switch (activation)
        {
            case Activation.Silu: ActivateForward<SiluActivation>(x, y); break;
            case Activation.GeluTanh: ActivateForward<GeluTanhActivation>(x, y); break;
            case Activation.GeluErf: ActivateForward<GeluErfActivation>(x, y); break;
            case Activation.Relu: ActivateForward<ReluActivation>(x, y); break;
            case Activation.ReluSquared: ActivateForward<ReluSquaredActivation>(x, y); break;
            case Activation.Sigmoid: ActivateForward<SigmoidActivation>(x, y); break;
            case Activation.Identity: ActivateForward<IdentityActivation>(x, y); break;
        }
    }

    public void ActivationBackward(Activation activation, Tensor dy, Tensor x, Tensor dx)
    {
        switch (activation)
        {
            case Activation.Silu: ActivateBackward<SiluActivation>(dy, x, dx); break;
            case Activation.GeluTanh: ActivateBackward<GeluTanhActivation>(dy, x, dx); break;
            case Activation.GeluErf: ActivateBackward<GeluErfActivation>(dy, x, dx); break;
            case Activation.Relu: ActivateBackward<ReluActivation>(dy, x, dx); break;
            case Activation.ReluSquared: ActivateBackward<ReluSquaredActivation>(dy, x, dx); break;
            case Activation.Sigmoid: ActivateBackward<SigmoidActivation>(dy, x, dx); break;
            case Activation.Identity: ActivateBackward<IdentityActivation>(dy, x, dx); break;
        }
    }

    public void GatedActivationForward(Activation activation, Tensor gate, Tensor up, Tensor y)
    {
        switch (activation)
        {
            case Activation.Silu: GateForward<SiluActivation>(gate, up, y); break;
            case Activation.GeluTanh: GateForward<GeluTanhActivation>(gate, up, y); break;
            case Activation.GeluErf: GateForward<GeluErfActivation>(gate, up, y); break;
            case Activation.Relu: GateForward<ReluActivation>(gate, up, y); break;
            case Activation.ReluSquared: GateForward<ReluSquaredActivation>(gate, up, y); break;
            case Activation.Sigmoid: GateForward<SigmoidActivation>(gate, up, y); break;
            case Activation.Identity: GateForward<IdentityActivation>(gate, up, y); break;
        }
    }

    public void GatedActivationBackward(Activation activation, Tensor dy, Tensor gate, Tensor up, Tensor dGate, Tensor dUp)
    {
        switch (activation)
        {
            case Activation.Silu: GateBackward<SiluActivation>(dy, gate, up, dGate, dUp); break;
            case Activation.GeluTanh: GateBackward<GeluTanhActivation>(dy, gate, up, dGate, dUp); break;
            case Activation.GeluErf: GateBackward<GeluErfActivation>(dy, gate, up, dGate, dUp); break;
            case Activation.Relu: GateBackward<ReluActivation>(dy, gate, up, dGate, dUp); break;
            case Activation.ReluSquared: GateBackward<ReluSquaredActivation>(dy, gate, up, dGate, dUp); break;
            case Activation.Sigmoid: GateBackward<SigmoidActivation>(dy, gate, up, dGate, dUp); break;
            case Activation.Identity: GateBackward<IdentityActivation>(dy, gate, up, dGate, dUp); break;
        }
    }

    private void ActivateForward<A>(Tensor x, Tensor y)
        where A : struct, IActivation
    {
        float* px = x.Pointer, py = y.Pointer;
        ForElements(x.Count, (start, n) => Chunk(px + start, py + start, n));

        static void Chunk(float* x, float* y, int n)
        {
            for (int j = 0; j < n; j += V.Count)
            {
                int left = n - j;
                A.Value(V.Load(x + j, left)).Store(y + j, left);
            }
        }
    }

    private void ActivateBackward<A>(Tensor dy, Tensor x, Tensor dx)
        where A : struct, IActivation
    {
        float* pd = dy.Pointer, px = x.Pointer, po = dx.Pointer;
        ForElements(x.Count, (start, n) => Chunk(pd + start, px + start, po + start, n));

        static void Chunk(float* dy, float* x, float* dx, int n)
        {
            for (int j = 0; j < n; j += V.Count)
            {
                int left = n - j;
                (V.Load(dy + j, left) * A.Derivative(V.Load(x + j, left), out _)).Store(dx + j, left);
            }
        }
    }

    private void GateForward<A>(Tensor gate, Tensor up, Tensor y)
        where A : struct, IActivation
    {
        float* pg = gate.Pointer, pu = up.Pointer, py = y.Pointer;
        ForElements(gate.Count, (start, n) => Chunk(pg + start, pu + start, py + start, n));

        static void Chunk(float* gate, float* up, float* y, int n)
        {
            for (int j = 0; j < n; j += V.Count)
            {
                int left = n - j;
                (A.Value(V.Load(gate + j, left)) * V.Load(up + j, left)).Store(y + j, left);
            }
        }
    }

    private void GateBackward<A>(Tensor dy, Tensor gate, Tensor up, Tensor dGate, Tensor dUp)
        where A : struct, IActivation
    {
        float* pd = dy.Pointer, pg = gate.Pointer, pu = up.Pointer, pdg = dGate.Pointer, pdu = dUp.Pointer;
        ForElements(gate.Count, (start, n) => Chunk(pd + start, pg + start, pu + start, pdg + start, pdu + start, n));

        static void Chunk(float* dy, float* gate, float* up, float* dGate, float* dUp, int n)
        {
            for (int j = 0; j < n; j += V.Count)
            {
                int left = n - j;
                V d = V.Load(dy + j, left), u = V.Load(up + j, left);
                V slope = A.Derivative(V.Load(gate + j, left), out V value);
                (d * u * slope).Store(dGate + j, left);
                (d * value).Store(dUp + j, left);
            }
        }
    }
}
