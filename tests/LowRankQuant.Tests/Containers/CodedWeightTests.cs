using System.Globalization;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Products;
using LowRankQuant.Numerics.Autograd.Quantizing;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Tests.Models;

namespace LowRankQuant.Tests.Containers;

/// <summary>Linears of compressed-tensors folders whose weights stay codes: logits of the reference, products nearer to the exact ones than those of floats, and what falls back.</summary>
public sealed class CodedWeightTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("w8a8-channel-token-asym")]
    [InlineData("w8a8-channel-static-sym")]
    [InlineData("w8a8-channel-static-asym")]
    [InlineData("w8a8-tensor-static-sym")]
    public void LogitsAreThoseOfTheReference(string name)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "compressed-tensors", name + ".golden.safetensors"));
        float[] expected = new float[golden.Tensors["logits_f32"].ElementCount];
        golden.ReadSingles("logits_f32", expected);
        float[][] seen = [.. new[] { (CpuKernelKind.Simd, 1, true), (CpuKernelKind.Simd, 2, true), (CpuKernelKind.Simd, 1, false) }.Select(run =>
        {
            using var device = new CpuDevice(new CpuDeviceOptions { Threads = run.Item2, Kernels = run.Item1 });
            using CausalModel model = Open(name, device, run.Item3);
            float[] logits = [.. Windows().SelectMany(ids => ForwardTrace.Of(model, ids).Logits)];
            Assert.Equal(run.Item3 ? "int8" : "float", model.Products.Describe());
            return logits;
        })];
        double codes = ForwardTrace.RelativeError(expected, seen[0]), floats = ForwardTrace.RelativeError(expected, seen[2]);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name}: codes {codes:e2}, floats {floats:e2}"));
        Assert.InRange(codes, 0, 1e-4);
        Assert.Equal(seen[0], seen[1]);
        Assert.NotEqual(seen[0], seen[2]);
    }

    /// <summary>On the inputs that the linears of real passes see, every product of codes is nearer to the exact one than that of rounded floats, summed over a model.</summary>
    [Theory]
    [InlineData("w8a8-channel-token")]
    [InlineData("w8a8-channel-token-asym")]
    [InlineData("w8a8-channel-static-sym")]
    [InlineData("w8a8-channel-static-asym")]
    [InlineData("w8a8-tensor-static-sym")]
    [InlineData("w4a8-g32-token")]
    [InlineData("w4a8-channel-token-pack")]
    [InlineData("mixed")]
    public void ProductsAreNearerThanThoseOfFloats(string name)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using CausalModel model = Open(name, device, codes: true);
        (double ofCodes, double ofFloats, double size) = (0, 0, 0);
        int compared = 0;
        int[] ids = Windows()[0];
        using var tape = new Tape(device, recording: false);
        using InputEmbedding embedding = model.LoadEmbedding();
        Tensor x = tape.Rent(ids.Length, model.Config.HiddenSize);
        using var inputs = new PassInputs(embedding, model.Config.Layers, ids, x, [.. Enumerable.Range(0, ids.Length)]);
        ForwardPass pass = ForwardPass.OfWindows(new SequenceShape(1, ids.Length));
        var state = new Variable(x);
        for (int i = 0; i < model.Config.Layers; i++)
        {
            using IDecoderBlock block = model.LoadBlock(i);
            foreach (LinearSlot slot in block.Slots.Where(slot => slot.MultipliesCodes))
            {
                slot.InputObserver = rounded =>
                {
                    // Both kinds of product round what they are given; that it is rounded already does not matter.
                    CodedWeight weight = (CodedWeight)slot.Weight;
                    float[] values = rounded.ToArray(), weights = weight.ToArray();
                    using var own = new Tape(device, recording: false);
                    var input = new Variable(rounded);
                    float[] codes = own.Linear(((ICodeQuantizer)slot.InputQuantizer!).Codes(own, input), weight.Codes).Value.ToArray();
                    float[] floats = own.Linear(slot.InputQuantizer!.Apply(own, input), weight.Weight(own)).Value.ToArray();
                    float[] again = slot.InputQuantizer!.Apply(own, input).Value.ToArray();
                    for (int at = 0; at < codes.Length; at++)
                    {
                        int row = at / slot.OutFeatures, o = at % slot.OutFeatures;
                        double exact = 0;
                        for (int k = 0; k < slot.InFeatures; k++) exact += (double)again[(row * slot.InFeatures) + k] * weights[(o * slot.InFeatures) + k];
                        ofCodes += Math.Pow(codes[at] - exact, 2);
                        ofFloats += Math.Pow(floats[at] - exact, 2);
                        size += exact * exact;
                    }
                    compared++;
                };
            }
            state = block.Forward(tape, state, inputs.For(pass, i));
        }
        (ofCodes, ofFloats) = (Math.Sqrt(ofCodes / size), Math.Sqrt(ofFloats / size));
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name}: {compared} linears, codes {ofCodes:e2}, floats {ofFloats:e2}"));
        Assert.NotEqual(0, compared);
        Assert.InRange(ofFloats, 0, 1e-6);
        Assert.InRange(ofCodes, 0, ofFloats);
    }

    /// <summary>Weights stay codes only where the input is rounded; a tape that records, and who observes inputs, get rounded floats.</summary>
    [Fact]
    public void FloatsAreThereForWhoNeedsThem()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using CausalModel model = Open("w8a8-channel-static-asym", device, codes: true), plain = Open("w8a8-channel-static-asym", device, codes: false);
        using IDecoderBlock block = model.LoadBlock(0), floats = plain.LoadBlock(0);
        LinearSlot slot = block.Slots[0], twin = floats.Slots[0];
        Assert.IsType<CodedWeight>(slot.Weight);
        Assert.IsType<DenseWeight>(twin.Weight);
        Assert.Equal(twin.WeightValues(), slot.WeightValues());
        using Tensor x = device.From(Enumerable.Range(0, 3 * slot.InFeatures).Select(i => (i % 23 / 10f) - 1).ToArray(), 3, slot.InFeatures);
        float[] expected = Run(twin, recording: false), integers = Run(slot, recording: false);
        Assert.NotEqual(expected, integers);
        Kernels.KernelTwins.Near(expected, integers, 1e-6, "codes");
        Assert.Equal(expected, Run(slot, recording: true));
        float[]? observed = null;
        slot.InputObserver = input => observed = input.ToArray();
        Assert.Equal(expected, Run(slot, recording: false));
        Assert.NotNull(observed);
        using var tape = new Tape(device, recording: true);
        Assert.Throws<InvalidOperationException>(() => ((ICodeQuantizer)slot.InputQuantizer!).Codes(tape, new Variable(x)));
        using CausalModel cached = Open("w4-g32-sym-kv8", device, codes: true);
        using IDecoderBlock weightsOnly = cached.LoadBlock(0);
        Assert.All(weightsOnly.Slots, linear => Assert.IsType<DenseWeight>(linear.Weight));
        Assert.Equal("float", cached.Products.Describe());

        float[] Run(LinearSlot linear, bool recording)
        {
            using var pass = new Tape(device, recording);
            return linear.Apply(pass, new Variable(x)).Value.ToArray();
        }
    }

    /// <summary>Linears of one input share its codes.</summary>
    [Fact]
    public void CodesOfAnInputAreMadeOnce()
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        var grid = new ActivationGrid(8, false, ActivationScope.Token);
        using GridQuantizer quantizer = GridQuantizer.Dynamic(grid);
        using var tape = new Tape(device, recording: false);
        var x = new Variable(tape.Rent(2, 40));
        device.Kernels.Fill(x.Value, 1.5f);
        Assert.Same(quantizer.Codes(tape, x), quantizer.Codes(tape, x));
        Assert.Same(quantizer.Apply(tape, x), quantizer.Apply(tape, x));
        Assert.NotSame(quantizer.Codes(tape, x), quantizer.Codes(tape, new Variable(x.Value)));
    }

    private static CausalModel Open(string name, Device device, bool codes)
    {
        CausalModel model = ModelSource.Open(TestData.Path("golden", "compressed-tensors", name), device, use: ModelUse.Forward);
        model.MultipliesCodes = codes;
        return model;
    }

    private static int[][] Windows()
    {
        using SafetensorsFile inputs = SafetensorsFile.Open(TestData.Path("golden", "compressed-tensors", "base_logits.safetensors"));
        var ids = new long[inputs.Tensors["input_ids"].ElementCount];
        inputs.Read("input_ids", ids.AsSpan());
        return [.. ids.Chunk((int)inputs.ShapeOf("input_ids")[1]).Select(window => window.Select(id => (int)id).ToArray())];
    }
}
