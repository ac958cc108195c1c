using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Decoder;

/// <summary>
/// Makes the parts of one block, or of what stands around the blocks, by their names and shapes, and owns them. Families put blocks together from it; what
/// they ask for is at the same time the list of the model's tensors.
/// </summary>
/// <param name="source">Gives the tensors.</param>
/// <param name="name">Name of the block, which stands in front of all names; empty for none.</param>
/// <param name="index">Number of the block.</param>
internal sealed class BlockParts(ITensorSource source, string name, int index) : IDisposable
{
    private readonly List<LinearSlot> _slots = [], _kept = [];
    private readonly List<LinearShape> _shapes = [];
    private readonly List<SlotGroup> _declared = [];
    private readonly List<IDisposable> _owned = [];
    private readonly List<RouterChoice> _routers = [];
    private int _stages;

    /// <summary>Number of the block.</summary>
    public int Index => index;

    /// <summary>Name of the block.</summary>
    public string Name => name;

    /// <summary>Where tensors go.</summary>
    public Device Device => source.Device;

    /// <summary>The linears made so far that are quantized, in their order.</summary>
    public IReadOnlyList<LinearSlot> Slots => _slots;

    /// <summary>The linears made so far that stay in their own type, in their order.</summary>
    public IReadOnlyList<LinearSlot> Kept => _kept;

    /// <summary>Names within the block and shapes of all of them, in their order.</summary>
    public IReadOnlyList<LinearShape> Shapes => _shapes;

    /// <summary>See <see cref="IDecoderBlock.DeclaredInputs"/>.</summary>
    public IReadOnlyList<SlotGroup> DeclaredInputs => _declared;

    /// <summary>The tensors by the names under which they are stored.</summary>
    public BlockTensors Tensors { get; } = new(name, source.Device.HostWorkers);

    /// <summary>Choices of the block's routers.</summary>
    public IReadOnlyList<RouterChoice> Routers => _routers;

    /// <summary>Whether files hold a tensor of the block under this name.</summary>
    public bool IsStored(string part) => source.IsStored(Path(part));

    /// <summary>A linear stored by itself.</summary>
    /// <param name="part">Name within the block, without <c>.weight</c>.</param>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="bias">Whether it has a bias.</param>
    public LinearSlot Linear(string part, int outFeatures, int inFeatures, BiasRule bias = default) =>
        Linear(part, outFeatures, inFeatures, bias, null, null);

    /// <summary>A linear whose weight, and perhaps bias, lie in other stored tensors.</summary>
    public LinearSlot Linear(string part, int outFeatures, int inFeatures, BiasRule bias, StoredView? weightView, StoredView? biasView, bool isExpert = false)
    {
        string module = Path(part);
        IWeightSource weight = source.LoadWeight(new TensorSpec($"{module}.weight", [outFeatures, inFeatures], weightView), isExpert);
        Tensor? offset = null;
        if (bias.IsOn)
        {
            offset = source.Load(new TensorSpec($"{module}.bias", [outFeatures], biasView));
            Tensors.Add(offset, $"{module}.bias");
        }
        else if (bias.Key is { } key) source.NoteMissingBias(module, key);
        return Add(new LinearSlot(part, outFeatures, inFeatures, weight, offset) { IsExpert = isExpert, IsKept = source.IsKept(name, part, byDefault: false) }, keptByDefault: false);
    }

    /// <summary>
    /// A linear that stays in its own type where nobody asks for it by name: a router, a gate of few rows, a projection to a few numbers. It is in memory as floats, whatever is
    /// paged.
    /// </summary>
    /// <param name="part">Name within the block, without <c>.weight</c>.</param>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="biased">Whether it has a bias.</param>
    public LinearSlot KeptLinear(string part, int outFeatures, int inFeatures, bool biased = false)
    {
        string module = Path(part);
        var weight = new DenseWeight(source.Load(new TensorSpec($"{module}.weight", [outFeatures, inFeatures], null)));
        Tensor? offset = null;
        if (biased)
        {
            offset = source.Load(new TensorSpec($"{module}.bias", [outFeatures], null));
            Tensors.Add(offset, $"{module}.bias");
        }
        return Add(new LinearSlot(part, outFeatures, inFeatures, weight, offset) { IsKept = source.IsKept(name, part, byDefault: true) }, keptByDefault: true);
    }

    private LinearSlot Add(LinearSlot slot, bool keptByDefault)
    {
        Tensors.Add(slot, Path(slot.Name));
        _shapes.Add(new LinearShape(slot.Name, slot.OutFeatures, slot.InFeatures) { IsExpert = slot.IsExpert, KeptByDefault = keptByDefault });
        (slot.IsKept ? _kept : _slots).Add(slot);
        _owned.Add(slot);
        return slot;
    }

    /// <summary>
    /// Linears with one input whose rows are stored together, or each by itself where files have them so.
    /// </summary>
    /// <param name="fused">Name of the stored module within the block.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="bias">Whether they have biases.</param>
    /// <param name="transposed">Whether the weight is stored input by input.</param>
    /// <param name="linears">Name and rows of each.</param>
    public LinearSlot[] Fused(string fused, int inFeatures, BiasRule bias, bool transposed, params (string Name, RowPattern Rows)[] linears)
    {
        int rows = linears.Sum(linear => linear.Rows.Count);
        string stored = Path(fused);
        return [.. linears.Select(linear =>
        {
            // Quantized on grids of their own they are stored apart, and their biases may still lie together.
            string own = Path(linear.Name);
            StoredView? weight = source.IsStored($"{own}.weight") ? null : transposed
                ? StoredView.OfTransposed($"{stored}.weight", rows, inFeatures, linear.Rows)
                : StoredView.OfRows($"{stored}.weight", rows, inFeatures, linear.Rows);
            StoredView? offset = source.IsStored($"{own}.bias") ? null : StoredView.OfVector($"{stored}.bias", rows, linear.Rows);
            return Linear(linear.Name, linear.Rows.Count, inFeatures, bias, weight, offset);
        })];
    }

    /// <summary>A linear whose weight is stored input by input, as GPT-2 does.</summary>
    public LinearSlot Transposed(string part, int outFeatures, int inFeatures, BiasRule bias) => Linear(
        part, outFeatures, inFeatures, bias,
        StoredView.OfTransposed($"{Path(part)}.weight", outFeatures, inFeatures, RowPattern.Range(0, outFeatures)), null);

    /// <summary>A tensor that is no linear's: kept as it is.</summary>
    /// <param name="part">Full name within the block.</param>
    /// <param name="shape">Its shape.</param>
    public Tensor Tensor(string part, params int[] shape) => Tensor(part, shape, null);

    /// <summary>A tensor that lies in another stored one.</summary>
    public Tensor Tensor(string part, int[] shape, StoredView? view)
    {
        Tensor tensor = Own(source.Load(new TensorSpec(Path(part), shape, view)));
        Tensors.Add(tensor, Path(part));
        return tensor;
    }

    /// <summary>x / sqrt(mean(x^2) + epsilon) * (weight + offset), weight <c>part.weight</c> [size].</summary>
    public INorm RmsNorm(string part, int size, float epsilon, float offset = 0) => new RmsNorm(Tensor($"{part}.weight", size), epsilon, offset);

    /// <summary>The same without a weight.</summary>
    public INorm UnweightedRmsNorm(int size, float epsilon) => new RmsNorm(Ones(size), epsilon);

    /// <summary>Layer normalisation, weight <c>part.weight</c> and bias <c>part.bias</c> [size].</summary>
    public INorm LayerNorm(string part, int size, float epsilon, bool bias = true, float offset = 0)
    {
        Tensor weight = Tensor($"{part}.weight", size);
        if (offset != 0)
        {
            weight.CopyFrom([.. weight.ToArray().Select(value => value + offset)]);
            Tensors.SetOffset(weight, offset);
        }
        return new LayerNorm(weight, bias ? Tensor($"{part}.bias", size) : null, epsilon);
    }

    /// <summary>Layer normalisation of every head by itself, with a weight for every element of every head.</summary>
    /// <param name="weight">[heads * headSize], in any shape.</param>
    /// <param name="headSize">Elements of a head.</param>
    /// <param name="epsilon">Added to the variance.</param>
    public INorm LayerNormOfHeads(Tensor weight, int headSize, float epsilon) =>
        new WeightedHeadsNorm(new HeadwiseNorm(new LayerNorm(Ones(headSize), null, epsilon), headSize), weight);

    /// <summary>Vectors of one size, one behind the other in one tensor.</summary>
    public Tensor Joined(IReadOnlyList<string> names, int size)
    {
        float[] all = [.. names.SelectMany(part => Tensor(part, size).ToArray())];
        return Own(source.Device.From(all, all.Length));
    }

    /// <summary>A tensor that is stored nowhere; owned by the parts.</summary>
    public Tensor Made(float[] values, params int[] shape) => Own(source.Device.From(values, shape));

    /// <summary>-exp(w) of a stored tensor, each of its elements several times in a row.</summary>
    /// <param name="part">Full name within the block.</param>
    /// <param name="times">How often every element is wanted.</param>
    /// <param name="shape">Its shape; made in one of as many dimensions, ones in front left out, with the last one longer by that.</param>
    public Tensor NegativeExponential(string part, int times, params int[] shape)
    {
        Tensor tensor = Tensor(part, shape);
        float[] stored = tensor.ToArray();
        // A list of tensors has no values.
        if (stored.LongLength != shape.Aggregate(1L, (product, size) => product * size)) return tensor;
        int columns = shape.Length == 2 ? shape[1] * times : stored.Length * times;
        float[] values = [.. stored.SelectMany(value => Enumerable.Repeat(DecayRates.Of(value), times))];
        return shape.Length == 2 ? Made(values, shape[0], columns) : Made(values, columns);
    }

    /// <summary>A vector of ones; owned by the parts.</summary>
    public Tensor Ones(int size) => Own(source.Ones(size));

    /// <summary>Tables of angles; null where <paramref name="rope"/> is.</summary>
    public RopeTables? Rope(RopeConfig? rope) => rope is null ? null : source.Tables(rope);

    /// <summary>Biases of keys by ALiBi.</summary>
    /// <param name="heads">Query heads.</param>
    /// <param name="bias">The bias of a slope at a position.</param>
    public KeyBiasTable Alibi(int heads, Func<double, int, float> bias)
    {
        double[] slopes = KeyBiasTable.AlibiSlopes(heads);
        return Own(new KeyBiasTable(source.Device, heads, (head, position) => bias(slopes[head], position)));
    }

    /// <summary>Says that slots share an input where a run may not show it; nobody looks at the inputs of those that stay in their own type.</summary>
    public void DeclareInput(int stage, params LinearSlot[] slots)
    {
        int[] numbers = [.. slots.Where(slot => !slot.IsKept).Select(slot => _slots.IndexOf(slot))];
        if (numbers.Length > 0) _declared.Add(new SlotGroup(stage, numbers));
    }

    /// <summary>A number for a declared stage.</summary>
    public int NextDeclaredStage() => _stages++;

    /// <summary>Most experts that a router of the block sends a token to; 0 without experts.</summary>
    public int ExpertsPerToken { get; private set; }

    /// <summary>Notes the choice of a router of the block.</summary>
    /// <param name="routing">How it chooses.</param>
    public RouterChoice Choice(Routing routing)
    {
        ExpertsPerToken = Math.Max(ExpertsPerToken, routing.Chosen);
        var choice = new RouterChoice();
        _routers.Add(choice);
        return choice;
    }

    /// <summary>Owns something from now on.</summary>
    public T Own<T>(T part)
        where T : IDisposable
    {
        _owned.Add(part);
        return part;
    }

    /// <summary>Full name of a part.</summary>
    public string Path(string part) => name.Length == 0 ? part : $"{name}.{part}";

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (IDisposable part in _owned) part.Dispose();
        _owned.Clear();
    }
}
