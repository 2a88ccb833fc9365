from files.nested import flatten


def test_flatten_leaves_out_init_args():
    assert flatten({"data": {"class_path": "D", "init_args": {"fold": 0}}}) == {"data.class_path": "D", "data.fold": 0}
