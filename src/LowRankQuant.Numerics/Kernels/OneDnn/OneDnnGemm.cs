using LowRankQuant.Numerics.Kernels.Simd.Gemm;

namespace LowRankQuant.Numerics.Kernels.OneDnn;

/// <summary>
/// Matrix products by oneDNN. A product is cut into tiles by its shape alone, each computed by one thread, so that the number of threads never changes a result; products too
/// small to be worth a call are managed code's.
/// </summary>
internal sealed unsafe class OneDnnGemm(OneDnnLibrary library, WorkerPool pool) : IGemm, IHalfGemm
{
    // Tiles of so many rows use all of what the library packs, and there are enough of them for the threads of a large machine.
    private const int TileRows = 256;
    private const int LeastTileColumns = 256;
    private const int WantedTiles = 16;

    // Below this many multiply-adds a call costs more than the library saves, and so it is with few rows, where memory sets the pace.
    private const long ManagedBelow = 256 * 1024;
    private readonly ManagedGemm _managed = new(pool);
    private readonly ScratchPool _scratch = new();

    /// <summary>The library.</summary>
    public OneDnnLibrary Library => library;

    public string Name => library.Name;

    public bool HasInstructions => library.HasHalf;

    public void Multiply(
        bool transposeA, bool transposeB, int m, int n, int k, float* a, int lda, float* b, int ldb, float* c, int ldc, bool accumulate)
    {
        if (m <= GemmFewRows.MaxRows || (long)m * n * k < ManagedBelow)
        {
            _managed.Multiply(transposeA, transposeB, m, n, k, a, lda, b, ldb, c, ldc, accumulate);
            return;
        }
        OneDnnShape shape = Shape(OneDnnLibrary.Float32, transposeA, transposeB, m, n, k, lda, ldb, ldc, accumulate);
        Tiles(shape, (tile, row, column) => Compute(tile, a + (row * shape.SourceRow), b + (column * shape.WeightsColumn), c + (row * shape.DestinationRow) + column));
    }

    public void MultiplyHalf(
        bool transposeA, bool transposeB, int m, int n, int k, ushort* a, int lda, ushort* b, int ldb, float* c, int ldc, bool accumulate)
    {
        if (m <= 0 || n <= 0) return;
        if (k <= 0)
        {
            _managed.Multiply(false, false, m, n, 0, null, 0, null, 0, c, ldc, accumulate);
            return;
        }
        OneDnnShape shape = Shape(OneDnnLibrary.BFloat16, transposeA, transposeB, m, n, k, lda, ldb, ldc, accumulate);
        Tiles(shape, (tile, row, column) => Compute(tile, a + (row * shape.SourceRow), b + (column * shape.WeightsColumn), c + (row * shape.DestinationRow) + column));
    }

    /// <summary>Managed code: parts of attention, too small for a call each.</summary>
    public void MultiplySerial(
        bool transposeA, bool transposeB, int m, int n, int k, float* a, int lda, float* b, int ldb, float* c, int ldc, bool accumulate) =>
        _managed.MultiplySerial(transposeA, transposeB, m, n, k, a, lda, b, ldb, c, ldc, accumulate);

    private static OneDnnShape Shape(int type, bool transposeA, bool transposeB, int m, int n, int k, int lda, int ldb, int ldc, bool accumulate) => new(m, n, k)
    {
        SourceType = type,
        WeightsType = type,
        DestinationType = OneDnnLibrary.Float32,
        SourceRow = transposeA ? 1 : lda,
        SourceColumn = transposeA ? lda : 1,
        WeightsRow = transposeB ? 1 : ldb,
        WeightsColumn = transposeB ? ldb : 1,
        DestinationRow = ldc,
        Accumulate = accumulate,
    };

    private void Tiles(OneDnnShape shape, Action<OneDnnShape, long, long> compute)
    {
        int rows = (shape.M + TileRows - 1) / TileRows;
        int columns = Math.Clamp(WantedTiles / rows, 1, Math.Max(1, shape.N / LeastTileColumns));
        // Whole vectors of columns, so that only the last tile is ragged.
        int width = ((shape.N + columns - 1) / columns + 63) / 64 * 64;
        columns = (shape.N + width - 1) / width;
        pool.Run(rows * columns, index =>
        {
            int row = index / columns * TileRows, column = index % columns * width;
            compute(shape with { M = Math.Min(TileRows, shape.M - row), N = Math.Min(width, shape.N - column) }, row, column);
        });
    }

    private void Compute(OneDnnShape tile, void* a, void* b, void* c)
    {
        OneDnnProduct product = library.Product(tile);
        if (product.ScratchBytes == 0)
        {
            library.Execute(product, a, b, c, null);
            return;
        }
        using ScratchPool.Lease scratch = _scratch.Rent((product.ScratchBytes + sizeof(float) - 1) / sizeof(float));
        library.Execute(product, a, b, c, scratch.Pointer);
    }
}
