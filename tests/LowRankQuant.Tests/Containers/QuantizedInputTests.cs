using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Tests.EndToEnd;
using LowRankQuant.Tests.Models;

namespace LowRankQuant.Tests.Containers;

/// <summary>compressed-tensors folders whose activations or caches are quantized.</summary>
public sealed class QuantizedInputTests
{
    private const double Tolerance = 1e-4;

    /// <summary>
    /// A symmetric grid by token puts its own extreme on a tie: -127.5 becomes -128 or -127 by the last bit of the activations, which another order of sums changes. So the
    /// logits have to be those of the reference for one choice at these ties, found token by token, and for no other change.
    /// </summary>
    [Theory]
    [InlineData("w8a8-channel-token")]
    [InlineData("w4a8-g32-token")]
    [InlineData("w4a8-channel-token-pack")]
    [InlineData("mixed")]
    public void SymmetricGridsByTokenGiveTheReferenceUpToTheirOwnTies(string name)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "compressed-tensors", name + ".golden.safetensors"));
        using SafetensorsFile inputs = SafetensorsFile.Open(TestData.Path("golden", "compressed-tensors", "base_logits.safetensors"));
        var ids = new long[inputs.Tensors["input_ids"].ElementCount];
        inputs.Read("input_ids", ids.AsSpan());
        float[] expected = new float[golden.Tensors["logits_f32"].ElementCount];
        golden.ReadSingles("logits_f32", expected);
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using CausalModel model = ModelSource.Open(TestData.Path("golden", "compressed-tensors", name), device, use: ModelUse.Forward);
        int length = (int)inputs.ShapeOf("input_ids")[1], vocabulary = model.Config.VocabularySize, ties = 0, turned = 0;
        IDecoderBlock[] blocks = [.. Enumerable.Range(0, model.Config.Layers).Select(model.LoadBlock)];
        using InputEmbedding embedding = model.LoadEmbedding();
        using OutputHead head = model.LoadHead();
        var sites = new List<TieChoice>();
        foreach (IGrouping<IActivationQuantizer, LinearSlot> shared in blocks.SelectMany(block => block.Slots).Where(slot => slot.InputQuantizer is not null).GroupBy(slot => slot.InputQuantizer!))
        {
            // The same quantizer serves several inputs of a block; each gets choices of its own.
            foreach (IEnumerable<LinearSlot> site in shared.GroupBy(slot => slot.Name is "self_attn.o_proj" or "mlp.down_proj" ? slot.Name : slot.Name.Split('.')[0]))
            {
                var choice = new TieChoice((GridQuantizer)shared.Key);
                foreach (LinearSlot slot in site) slot.InputQuantizer = choice;
                sites.Add(choice);
            }
        }
        for (int sequence = 0; sequence < ids.Length / length; sequence++)
        {
            int[] window = [.. ids.AsSpan(sequence * length, length).ToArray().Select(id => (int)id)];
            foreach (TieChoice site in sites) site.Turned.Clear();
            for (int row = 0; row < length; row++)
            {
                Logits(window);
                (TieChoice Site, (int Row, float Value) Tie)[] open = [.. sites.SelectMany(site => site.Ties.Where(tie => tie.Row == row).Select(tie => (site, tie)))];
                ties += open.Length;
                double[] errors = new double[1 << open.Length];
                int found = -1;
                foreach (int choice in Enumerable.Range(0, errors.Length).OrderBy(bits => System.Numerics.BitOperations.PopCount((uint)bits)))
                {
                    for (int i = 0; i < open.Length; i++)
                    {
                        if ((choice >> i) % 2 == 1) open[i].Site.Turned.Add(open[i].Tie);
                        else open[i].Site.Turned.Remove(open[i].Tie);
                    }
                    errors[choice] = ForwardTrace.RelativeError(
                        expected.AsSpan(((sequence * length) + row) * vocabulary, vocabulary), Logits(window).AsSpan(row * vocabulary, vocabulary));
                    if (errors[choice] > Tolerance) continue;
                    found = choice;
                    break;
                }
                Assert.True(found >= 0, $"sequence {sequence}, token {row}: {errors.Min():e2} at best of {errors.Length} choices");
                turned += System.Numerics.BitOperations.PopCount((uint)found);
            }
        }
        Assert.InRange(turned, 0, ties / 2);
        TestContext.Current.TestOutputHelper!.WriteLine($"{name}: {turned} of {ties} ties turned");
        foreach (IDecoderBlock block in blocks) block.Dispose();

        float[] Logits(int[] window)
        {
            using var tape = new Tape(device, recording: false);
            Tensor x = tape.Rent(window.Length, model.Config.HiddenSize);
            using var passes = new PassInputs(embedding, model.Config.Layers, window, x, [.. Enumerable.Range(0, window.Length)]);
            ForwardPass pass = ForwardPass.OfWindows(new SequenceShape(1, window.Length));
            var state = new Variable(x);
            for (int i = 0; i < blocks.Length; i++) state = blocks[i].Forward(tape, state, passes.For(pass, i));
            return head.Logits(tape, state).Value.ToArray();
        }
    }

    /// <summary>A quantizer whose ties, values within float32 error of the middle between two codes, can be turned one by one.</summary>
    private sealed class TieChoice(GridQuantizer inner) : IActivationQuantizer
    {
        private const double Near = 3e-5;

        public HashSet<(int Row, float Value)> Turned { get; } = [];

        public HashSet<(int Row, float Value)> Ties { get; } = [];

        public Variable Apply(Tape tape, Variable x) => tape.Once(this, x, () =>
        {
            Variable y = inner.Apply(tape, x);
            Ties.Clear();
            int half = inner.Grid.Half;
            for (int row = 0; row < x.Value.Rows; row++)
            {
                float[] values = x.Value.RowRange(row, 1).ToArray();
                float step = values.Max(Math.Abs) / (inner.Grid.Levels / 2f);
                Span<float> rounded = y.Value.RowRange(row, 1).Span;
                for (int j = 0; j < values.Length; j++)
                {
                    double position = (double)values[j] / step, low = Math.Floor(position);
                    if (!(Math.Abs(position - low - 0.5) < Near) || low < -half || low + 1 > half - 1) continue;
                    Ties.Add((row, values[j]));
                    if (Turned.Contains((row, values[j]))) rounded[j] = (float)(rounded[j] == (float)low * step ? low + 1 : low) * step;
                }
            }
            return y;
        });
    }
}
